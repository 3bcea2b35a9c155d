// SPDX-License-Identifier: MIT OR Apache-2.0
// The course over the steps: pages used, longest free run, failures. A point stands for some steps
// in a row, and for one step where the chart is zoomed in far enough; what is said of a point is
// true of all of its steps.
import uPlot from "uplot";
import type { Course, Span } from "./protocol";
import { counted, seconds, style } from "./words";

const HEIGHT = 240;
const POINTS = 1000;
/** Of a label's character, and of what is beside the labels. */
const LETTER = 7;
const GAP = 22;

export class Chart {
  private plot: uPlot | undefined;
  private course: Course | undefined;
  private spans: Span[] = [];
  private quiet = false;

  constructor(
    private readonly place: HTMLElement,
    private readonly zoomed: (from: number, to: number) => void,
    private readonly chosen: (step: number) => void,
  ) {
    new ResizeObserver(() => this.plot?.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  }

  /** Shows some steps of a course. */
  show(course: Course, from: number, to: number): void {
    this.course = course;
    const data = this.data(from, to);
    this.quiet = true;
    this.plot?.destroy();
    this.plot = new uPlot(this.options(course), data, this.place);
    this.scale(from, to);
    this.plot.over.addEventListener("click", () => {
      const span = this.span(this.plot?.cursor.idx);
      if (span) this.chosen(this.stepOf(span));
    });
  }

  zoom(from: number, to: number): void {
    if (!this.course) return;
    this.quiet = true;
    this.plot?.setData(this.data(from, to), false);
    this.scale(from, to);
  }

  /** A span's first failure, else the step with the most pages. */
  private stepOf(span: Span): number {
    const course = this.course!;
    return span.failed > 0 ? course.failed(course.failuresIn(span.first, span.last)[0]).step : span.usedAt;
  }

  private scale(from: number, to: number): void {
    this.plot?.setScale("x", { min: from, max: Math.max(to, from + 1) });
    // The scale is set with the next drawing.
    queueMicrotask(() => (this.quiet = false));
  }

  private span(index: number | null | undefined): Span | undefined {
    return index === null || index === undefined ? undefined : this.spans[index];
  }

  private data(from: number, to: number): uPlot.AlignedData {
    const course = this.course!;
    this.spans = course.spans(from, to, POINTS);
    const { spans } = this;
    return [
      spans.map((span) => span.last),
      spans.map((span) => span.used),
      spans.map((span) => span.longest),
      spans.map((span) => (span.failed > 0 ? span.used : null)),
      spans.map(() => course.pages),
      spans.map(() => course.record.peak_pages),
    ];
  }

  private options(course: Course): uPlot.Options {
    const { record, lines } = course;
    /** What the legend says of the point under the pointer, and of all steps where there is none. */
    const told = (of: (span: Span, many: boolean) => string, all: string) => (_: uPlot, __: number | null, ___: number, index: number | null) => {
      const span = this.span(index);
      return span ? of(span, span.last > span.first) : all;
    };
    const steps = told((span, many) => {
      const time = span.seconds > 0 ? `, ${seconds(span.seconds)}` : "";
      const [first, last] = [lines[span.first]!, lines[span.last]!];
      return many ? `${span.first}–${span.last}, lines ${first}–${last}${time}` : `${span.first}, line ${first}${time}`;
    }, `all ${course.steps}`);
    const failures = told((span) => {
      if (span.failed === 0) return "none";
      const [first, behind] = course.failuresIn(span.first, span.last);
      const where = [first, behind - 1].map((place) => course.failed(place).step);
      return span.failed === 1 ? `1, at step ${where[0]}` : `${span.failed}, the first at step ${where[0]}`;
    }, `${record.failed} in all`);
    const axis = {
      stroke: style("--ink"),
      grid: { stroke: style("--line"), width: 1 },
      ticks: { stroke: style("--line"), width: 1 },
      // There are no parts of steps or of pages.
      incrs: Array.from({ length: 30 }, (_, place) => [1, 2, 5][place % 3]! * 10 ** Math.floor(place / 3)),
    };
    return {
      width: this.place.clientWidth || 900,
      height: HEIGHT,
      scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(course.pages, most) * 1.05] } },
      axes: [axis, { ...axis, size: (_, labels) => GAP + LETTER * Math.max(4, ...(labels ?? []).map((label) => label.length)) }],
      cursor: { drag: { x: true, y: false } },
      legend: { live: true },
      series: [
        { label: "steps", value: steps },
        {
          label: "pages used",
          stroke: style("--used"),
          width: 1.5,
          value: told((span, many) => (many ? `at most ${span.used}, at step ${span.usedAt}` : String(span.used)), `at most ${record.peak_pages}`),
        },
        {
          label: "longest free run",
          stroke: style("--run"),
          width: 1.5,
          dash: [6, 3],
          value: told((span, many) => (many ? `${span.longest} behind step ${span.last}` : String(span.longest)), `${record.maxchunk} at the end`),
        },
        { label: "failures", stroke: style("--mark"), width: 0, points: { show: true, size: 6, fill: style("--mark") }, paths: () => null, value: failures },
        { label: "area", stroke: style("--faint"), width: 1, dash: [2, 4], value: () => counted(course.pages, "page") },
        { label: "peak", stroke: style("--good"), width: 1, dash: [8, 4], value: () => counted(record.peak_pages, "page") },
      ],
      hooks: {
        setScale: [
          (plot, key) => {
            const { min, max } = plot.scales["x"]!;
            if (key !== "x" || this.quiet || typeof min !== "number" || typeof max !== "number") return;
            // All points are what is shown, which began before the first of them ended.
            const whole = min <= this.spans[0]!.last && max >= this.spans.at(-1)!.last;
            this.zoomed(whole ? 0 : min, whole ? Infinity : max);
          },
        ],
      },
    };
  }
}
