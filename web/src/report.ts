// SPDX-License-Identifier: MIT OR Apache-2.0
// The page of a report: how many runs of a row reach a number of allocations, and tables that sort.
import uPlot from "uplot";
import type { EmbeddedReport } from "./protocol";
import { element, lineColour, style } from "./words";

const HEIGHT = 280;
const POINTS = 400;

/** The percentage of sorted values that are at least `least`. */
export function reach(sorted: number[], least: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return (100 * (sorted.length - low)) / sorted.length;
}

export class Curves {
  private plot: uPlot | undefined;
  private readonly place = element("div", { id: "curves" });
  private readonly group: HTMLSelectElement;

  constructor(
    place: HTMLElement,
    private readonly data: EmbeddedReport,
  ) {
    this.group = element("select", { id: "group", change: () => this.draw() });
    this.group.append(...data.groups.map((group, at) => new Option(group.name, String(at))));
    place.append(
      element("h2", {}, "How many runs get that far"),
      element("div", { class: "bar controls" }, element("label", {}, "runs of", this.group)),
      this.place,
      element("p", { class: "note" }, "Of the runs of each placement, how many have at least that many allocations. Drag to zoom, double-click for all; click a name to hide its line."),
    );
    new ResizeObserver(() => this.plot?.setSize({ width: this.place.clientWidth, height: HEIGHT })).observe(this.place);
  }

  /** Draws the chosen group. */
  draw(): void {
    const { rows } = this.data.groups[Number(this.group.value)]!;
    const lines = rows.flatMap(({ placement, allocs, before }, at) => [
      { label: placement, sorted: allocs, stroke: lineColour(at), dash: [] as number[] },
      ...(before ? [{ label: `${placement}, before`, sorted: before, stroke: lineColour(at), dash: [4, 4] }] : []),
    ]);
    const most = Math.max(1, ...lines.map(({ sorted }) => sorted.at(-1) ?? 0));
    // As the pictures of the tables (host/src/report_page.rs).
    const least = Math.min(...lines.map(({ sorted }) => sorted[0] ?? 0));
    const first = least > most / 2 ? least : 0;
    const grid = Array.from({ length: POINTS + 1 }, (_, at) => first + ((most - first) * at) / POINTS);
    const axis = { stroke: style("--ink"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line"), width: 1 } };
    const options: uPlot.Options = {
      width: this.place.clientWidth || 900,
      height: HEIGHT,
      scales: { x: { time: false }, y: { range: [0, 102] } },
      axes: [axis, { ...axis, size: 56, values: (_, values) => values.map((value) => `${value}%`) }],
      cursor: { drag: { x: true, y: false } },
      series: [
        { label: "allocations", value: (_, value: number | null) => (value === null ? "–" : Math.round(value)) },
        ...lines.map(({ label, stroke, dash }) => ({ label, stroke, dash, width: 1.5, value: (_: uPlot, value: number | null) => (value === null ? "–" : `${value.toFixed(0)}%`) })),
      ],
    };
    this.plot?.destroy();
    this.plot = new uPlot(options, [grid, ...lines.map(({ sorted }) => grid.map((least) => reach(sorted, least)))], this.place);
  }
}

/** A cell's number, or its text. */
function value(row: HTMLTableRowElement, column: number): number | string {
  const text = row.cells[column]!.textContent!.replace("−", "-").replace("%", "");
  return text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

/** Lets the columns of a table sort its rows. */
export function sortable(table: HTMLTableElement): void {
  const heads = [...table.tHead!.rows[0]!.cells].filter((head) => !head.classList.contains("plot"));
  heads.forEach((head, column) => {
    const button = element("button", { title: `sort by ${head.textContent}` }, head.textContent);
    button.addEventListener("click", () => {
      const descends = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descends ? "descending" : "ascending");
      const rows = [...table.tBodies[0]!.rows];
      rows.sort((one, other) => {
        const [left, right] = [value(one, column), value(other, column)];
        const order = typeof left === "number" && typeof right === "number" ? left - right : String(left).localeCompare(String(right));
        return descends ? -order : order;
      });
      table.tBodies[0]!.append(...rows);
    });
    head.replaceChildren(button);
  });
}
