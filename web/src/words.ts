// SPDX-License-Identifier: MIT OR Apache-2.0
// Small words and elements that several parts of a page need. Text goes into the page as text,
// never as HTML.

export type Child = Node | string | number | null | undefined;

export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Record<string, string | number | boolean | ((event: never) => void)> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value as (event: Event) => void);
    else if (typeof value === "boolean") made.toggleAttribute(key, value);
    else made.setAttribute(key, String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (typeof child === "number" ? String(child) : child!)));
  return made;
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Pages as the tool prints a size. */
export function size(pages: number): string {
  return pages % 256 === 0 ? `${pages / 256}M` : `${pages * 4}K`;
}

export function seconds(time: number): string {
  return Number.isNaN(time) ? "" : `${time.toFixed(6)} s`;
}

/** By the order of the size, two orders each, as in the tool's picture (host/src/picture.rs). */
const SIZES = ["#440154", "#3b528b", "#21918c", "#35b779", "#90d743", "#fde725"];

/** Takes the two ends of the colours from the style, which knows what is seen on its ground. */
export function fitColours(): void {
  [SIZES[0], SIZES[SIZES.length - 1]] = [style("--least"), style("--most")];
}

/** Colours that colour-blind people tell apart (Okabe and Ito). */
const TASKS = ["#999999", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"];

export type Colouring = "size" | "task";

export function colour(by: Colouring, pages: number, task: number): string {
  if (by === "size") return SIZES[Math.min(SIZES.length - 1, (31 - Math.clz32(pages)) >> 1)]!;
  return task === 0 ? TASKS[0]! : lineColour(task - 1);
}

/** The colour of a line among others. */
export function lineColour(place: number): string {
  return TASKS[1 + (place % (TASKS.length - 1))]!;
}

/** What the colours mean. */
export function legend(by: Colouring, tasks: string[]): HTMLElement[] {
  const key = (fill: string, text: string) => element("span", { class: "key" }, element("i", { style: `background:${fill}` }), text);
  if (by === "size") {
    fitColours();
    return SIZES.map((fill, place) => key(fill, place === SIZES.length - 1 ? `${4 ** place} pages and more` : `${4 ** place}–${4 ** (place + 1) - 1} pages`));
  }
  const shown = tasks.slice(1, 15).map((task, place) => key(colour("task", 1, place + 1), task));
  if (tasks.length > 15) shown.push(element("span", { class: "key" }, `and ${tasks.length - 15} more tasks`));
  return shown.length > 0 ? shown : [key(TASKS[0]!, "the recording names no tasks")];
}

export function style(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
