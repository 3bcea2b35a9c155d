// SPDX-License-Identifier: MIT OR Apache-2.0
// The two pictures of an area: addresses over time, and all pages at one moment.
import type { Band, Course, Window } from "./protocol";
import { type Colouring, colour, fitColours, style } from "./words";

const LEFT = 56;
const ROW = 11;
const PITCH = 13;
const ROWS = 48;
const MIN_ROW_PAGES = 64;

/** What both pictures show. */
export interface View {
  course: Course;
  from: number;
  to: number;
  cursor: number;
  by: Colouring;
  /** The chosen failure. */
  chosen: number | undefined;
}

/** A canvas's context in units of the page, empty. */
function context(canvas: HTMLCanvasElement, height: number): CanvasRenderingContext2D {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth || 960;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  fitColours();
  const drawn = canvas.getContext("2d")!;
  drawn.scale(ratio, ratio);
  drawn.clearRect(0, 0, width, height);
  drawn.font = "11px monospace";
  return drawn;
}

export const MAP_HEIGHT = 340;
const MAP_TOP = 12;
const MAP_BOTTOM = 18;

/** Where a step is in the map, and what is at a point of it. */
export function mapPlace(canvas: HTMLCanvasElement, view: View) {
  const width = (canvas.clientWidth || 960) - LEFT - 4;
  const height = MAP_HEIGHT - MAP_TOP - MAP_BOTTOM;
  const span = Math.max(1, view.to - view.from);
  return {
    x: (step: number) => LEFT + ((step - view.from) / span) * width,
    y: (page: number) => MAP_TOP + (page / view.course.pages) * height,
    step: (x: number) => Math.min(view.to, Math.max(view.from, Math.floor(view.from + ((x - LEFT) / width) * span))),
    page: (y: number) => Math.min(view.course.pages - 1, Math.max(0, Math.floor(((y - MAP_TOP) / height) * view.course.pages))),
  };
}

/** Addresses over time. */
export function drawMap(canvas: HTMLCanvasElement, view: View): void {
  const { course } = view;
  const drawn = context(canvas, MAP_HEIGHT);
  const { x, y } = mapPlace(canvas, view);
  const [left, right, top, bottom] = [x(view.from), x(view.to), y(0), y(course.pages)];
  drawn.fillStyle = style("--panel");
  drawn.fillRect(left, top, right - left, bottom - top);
  course.each(view.from, view.to, (page, pages, begin, end, task) => {
    const from = Math.max(left, x(begin));
    const to = Math.min(right, x(end));
    drawn.fillStyle = colour(view.by, pages, task);
    drawn.fillRect(from, y(page), Math.max(0.6, to - from), Math.max(0.6, y(page + pages) - y(page) - (pages * (bottom - top) > 4 * course.pages ? 0.5 : 0)));
  });
  drawn.fillStyle = style("--ink");
  drawn.textAlign = "right";
  for (let part = 0; part <= 4; part++) {
    const page = Math.round((course.pages * part) / 4);
    drawn.fillText(String(page), LEFT - 4, y(page) + 4);
  }
  drawn.textAlign = "left";
  drawn.fillText(`step ${view.from}`, left, MAP_HEIGHT - 5);
  drawn.textAlign = "right";
  drawn.fillText(String(view.to), right, MAP_HEIGHT - 5);
  const [first, behind] = course.failuresIn(view.from, view.to);
  drawn.fillStyle = style("--mark");
  let last = -9;
  for (let place = first; place < behind; place++) {
    const at = x(course.failed(place).step);
    if (at - last < 1) continue;
    last = at;
    drawn.beginPath();
    drawn.moveTo(at - 4, 1);
    drawn.lineTo(at + 4, 1);
    drawn.lineTo(at, 9);
    drawn.fill();
  }
  if (view.chosen !== undefined) {
    const failed = course.failed(view.chosen);
    drawn.strokeStyle = style("--mark");
    drawn.lineWidth = 2;
    for (const window of course.windows(view.chosen)) {
      const at = x(failed.step);
      drawn.strokeRect(Math.max(left, at - 12), y(window.page), 24, Math.max(3, y(window.page + failed.pages) - y(window.page)));
    }
  }
  drawn.strokeStyle = style("--ink");
  drawn.lineWidth = 1;
  drawn.beginPath();
  drawn.moveTo(x(view.cursor) + 0.5, top);
  drawn.lineTo(x(view.cursor) + 0.5, bottom);
  drawn.stroke();
}

/** Rows of pages, as the tool's picture has them (host/src/picture.rs). */
export function rowPages(pages: number): number {
  return Math.max(MIN_ROW_PAGES, 2 ** Math.ceil(Math.log2(Math.ceil(pages / ROWS))));
}

/** An area at one moment; windows are outlined. */
export function drawMoment(canvas: HTMLCanvasElement, pages: number, held: Pick<Band, "page" | "pages" | "task">[], by: Colouring, windows: Window[] = [], asked = 0): void {
  const row = rowPages(pages);
  const rows = Math.ceil(pages / row);
  const drawn = context(canvas, rows * PITCH + 4);
  const width = (canvas.clientWidth || 960) - LEFT - 2;
  const each = (first: number, end: number, call: (y: number, left: number, width: number) => void) => {
    for (let page = first; page < end; ) {
      const at = Math.floor(page / row);
      const to = Math.min(end, (at + 1) * row);
      const left = LEFT + ((page - at * row) / row) * width;
      call(at * PITCH + 2, left, ((to - page) / row) * width);
      page = to;
    }
  };
  drawn.textAlign = "right";
  each(0, pages, (y, left, wide) => {
    drawn.fillStyle = style("--panel");
    drawn.fillRect(left, y, wide, ROW);
    drawn.fillStyle = style("--faint");
    drawn.fillText(String(((y - 2) / PITCH) * row), LEFT - 4, y + ROW - 2);
  });
  for (const band of held) {
    drawn.fillStyle = colour(by, band.pages, band.task);
    each(band.page, band.page + band.pages, (y, left, wide) => drawn.fillRect(left, y, wide > 3 ? wide - 1 : Math.max(0.7, wide), ROW));
  }
  drawn.strokeStyle = style("--mark");
  windows.forEach((window, place) => {
    drawn.lineWidth = place === 0 ? 2 : 1;
    drawn.setLineDash(place === 0 ? [] : [4, 3]);
    each(window.page, Math.min(pages, window.page + asked), (y, left, wide) => drawn.strokeRect(left, y - 1, Math.max(2, wide), ROW + 2));
  });
}

/** The page at a point of a moment's picture. */
export function momentPage(canvas: HTMLCanvasElement, pages: number, x: number, y: number): number | undefined {
  const row = rowPages(pages);
  const width = (canvas.clientWidth || 960) - LEFT - 2;
  const page = Math.floor((y - 2) / PITCH) * row + Math.floor(((x - LEFT) / width) * row);
  return x >= LEFT && y >= 2 && page < pages ? page : undefined;
}
