// SPDX-License-Identifier: MIT OR Apache-2.0
// The failures, sortable; a long list is shown in part.
import type { Course, Failed } from "./protocol";
import { element, seconds } from "./words";

const MOST_ROWS = 500;

const COLUMNS: [string, (failed: Failed, course: Course) => string | number][] = [
  ["line", (failed) => failed.line],
  ["time", (failed) => failed.seconds],
  ["task", (failed, course) => course.tasks[failed.task] ?? ""],
  ["pages", (failed) => failed.pages],
  ["multiple of", (failed) => failed.align],
  ["cause", (failed) => failed.cause],
  ["free", (failed) => failed.free],
  ["longest run", (failed) => failed.longest],
];

export class Failures {
  private column = 0;
  private descends = false;
  private rows = new Map<number, HTMLTableRowElement>();

  constructor(
    private readonly place: HTMLElement,
    private readonly choose: (failure: number) => void,
  ) {}

  show(course: Course, chosen: number | undefined): void {
    this.rows.clear();
    const failures = Array.from({ length: course.failureCount }, (_, place) => course.failed(place));
    if (failures.length === 0) {
      this.place.replaceChildren(element("p", {}, "None."));
      return;
    }
    const value = COLUMNS[this.column]![1];
    const sign = this.descends ? -1 : 1;
    failures.sort((one, other) => {
      const [left, right] = [value(one, course), value(other, course)];
      const order = typeof left === "string" ? left.localeCompare(String(right)) : (left as number) - (right as number);
      return sign * (order || 0) || one.place - other.place;
    });
    const heads = COLUMNS.map(([name], place) => {
      const sorted = place === this.column ? (this.descends ? "descending" : "ascending") : "none";
      const sort = () => {
        this.descends = place === this.column && !this.descends;
        this.column = place;
        this.show(course, chosen);
        (this.place.querySelectorAll("th button")[place] as HTMLElement).focus();
      };
      const mark = sorted === "none" ? "" : this.descends ? " ▼" : " ▲";
      return element("th", { scope: "col", "aria-sort": sorted }, element("button", { click: sort, title: `sort by ${name}` }, name + mark));
    });
    const rows = failures.slice(0, MOST_ROWS).map((failed) => {
      const cells = COLUMNS.map(([name, value]) => element("td", name === "task" || name === "cause" ? { class: "word" } : {}, name === "time" ? seconds(failed.seconds) : value(failed, course)));
      const row = element("tr", {
        tabindex: 0,
        click: () => this.choose(failed.place),
        keydown: (event: KeyboardEvent) => {
          if (event.key === "Enter") this.choose(failed.place);
        },
      });
      row.append(...cells);
      this.rows.set(failed.place, row);
      return row;
    });
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
    this.place.replaceChildren(element("div", { class: "scroll" }, table));
    if (failures.length > MOST_ROWS) this.place.append(element("p", { class: "note" }, `${failures.length - MOST_ROWS} more are not listed; sort by another column to see others.`));
    this.mark(chosen);
  }

  mark(chosen: number | undefined): void {
    for (const [place, row] of this.rows) {
      row.classList.toggle("chosen", place === chosen);
      row.setAttribute("aria-selected", String(place === chosen));
    }
  }
}
