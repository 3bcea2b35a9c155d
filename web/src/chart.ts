// SPDX-License-Identifier: MIT OR Apache-2.0
// The course over the steps: pages used, longest free run, failures.
import uPlot from "uplot";
import type { Course, Sample } from "./protocol";
import { counted, seconds, style } from "./words";

const HEIGHT = 240;

export class Chart {
  private plot: uPlot | undefined;
  private course: Course | undefined;
  private quiet = false;

  constructor(
    private readonly place: HTMLElement,
    private readonly zoomed: (from: number, to: number) => void,
    private readonly chosen: (step: number) => void,
  ) {
    new ResizeObserver(() => this.plot?.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  }

  show(course: Course): void {
    this.course = course;
    this.draw();
  }

  /** Draws anew, as for other colours. */
  draw(): void {
    const course = this.course;
    if (!course) return;
    const samples = course.samples;
    const sample = (index: number | null): Sample | undefined => (index === null ? undefined : samples[index]);
    const axis = { stroke: style("--ink"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line"), width: 1 } };
    const options: uPlot.Options = {
      width: this.place.clientWidth || 900,
      height: HEIGHT,
      scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(course.pages, most) * 1.05] } },
      axes: [axis, { ...axis, size: 56 }],
      cursor: { drag: { x: true, y: false } },
      legend: { live: true },
      series: [
        {
          label: "step",
          value: (_, __, ___, index) => {
            const at = sample(index);
            return at ? `${at.step}, line ${at.line}${at.seconds > 0 ? `, ${seconds(at.seconds)}` : ""}` : "–";
          },
        },
        { label: "pages used", stroke: style("--used"), width: 1.5, value: (_, value) => value ?? "–" },
        { label: "longest free run", stroke: style("--run"), width: 1.5, dash: [6, 3], value: (_, value) => value ?? "–" },
        {
          label: "failures",
          stroke: style("--mark"),
          width: 0,
          points: { show: true, size: 6, fill: style("--mark") },
          paths: () => null,
          value: (_, __, ___, index) => counted(sample(index)?.failed ?? 0, "failure"),
        },
        { label: "area", stroke: style("--faint"), width: 1, dash: [2, 4], value: () => `${course.pages} pages` },
        { label: "peak", stroke: style("--good"), width: 1, dash: [8, 4], value: () => `${course.record.peak_pages} pages` },
      ],
      hooks: {
        setScale: [
          (plot, key) => {
            const { min, max } = plot.scales["x"]!;
            if (key !== "x" || this.quiet || min === undefined || max === undefined || min === null || max === null) return;
            // All samples are the whole course, which began before the first of them ended.
            const whole = min <= samples[0]!.step && max >= samples.at(-1)!.step;
            this.zoomed(whole ? 0 : min, whole ? Infinity : max);
          },
        ],
      },
    };
    const failures = samples.map((at) => (at.failed > 0 ? at.used : null));
    const data: uPlot.AlignedData = [
      samples.map((at) => at.step),
      samples.map((at) => at.used),
      samples.map((at) => at.longest),
      failures,
      samples.map(() => course.pages),
      samples.map(() => course.record.peak_pages),
    ];
    this.quiet = true;
    this.plot?.destroy();
    this.plot = new uPlot(options, data, this.place);
    this.quiet = false;
    this.plot.over.addEventListener("click", () => {
      const at = sample(this.plot?.cursor.idx ?? null);
      if (at) this.chosen(at.step);
    });
  }

  zoom(from: number, to: number): void {
    this.quiet = true;
    this.plot?.setScale("x", { min: from, max: to });
    // The scale is set with the next drawing.
    queueMicrotask(() => (this.quiet = false));
  }
}
