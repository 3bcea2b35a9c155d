// SPDX-License-Identifier: MIT OR Apache-2.0
// The button that makes a page dark or light.
import { element } from "./words";

/** Dark, light, or as the system has it. */
export function themeButton(changed: () => void): HTMLButtonElement {
  const root = document.documentElement;
  const next = () => {
    const dark = root.dataset["theme"] ? root.dataset["theme"] === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset["theme"] = dark ? "light" : "dark";
    changed();
  };
  // Paper is light.
  let before: string | undefined;
  addEventListener("beforeprint", () => {
    before = root.dataset["theme"];
    root.dataset["theme"] = "light";
    changed();
  });
  addEventListener("afterprint", () => {
    if (before === undefined) delete root.dataset["theme"];
    else root.dataset["theme"] = before;
    changed();
  });
  return element("button", { class: "theme", id: "theme", click: next }, "dark / light");
}
