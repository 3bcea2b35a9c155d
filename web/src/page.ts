// SPDX-License-Identifier: MIT OR Apache-2.0
// The page of a recording or of a report: what stands in it without scripts comes to life.
import { Engine, unpacked } from "./engine";
import { Explorer } from "./explorer";
import type { Embedded, EmbeddedReport } from "./protocol";
import { Curves, sortable } from "./report";
import { themeButton } from "./theme";

async function begin(): Promise<void> {
  const app = document.getElementById("app")!;
  const data = JSON.parse(document.getElementById("data")!.textContent!) as Embedded | EmbeddedReport;
  if (data.kind === "report") {
    const curves = new Curves(app, data);
    app.before(themeButton(() => curves.draw()));
    app.hidden = false;
    curves.draw();
    document.querySelectorAll<HTMLTableElement>("section.runs table").forEach(sortable);
    return;
  }
  const [wasm, recording] = await Promise.all([unpacked("wasm"), unpacked("recording")]);
  const engine = new Engine(wasm, recording);
  const explorer = new Explorer(app, engine, data, await engine.rules(), true);
  // The pictures and tables that stand without scripts make room for those that move.
  document.getElementById("worst")?.remove();
  document.getElementById("failures")?.remove();
  app.after(document.getElementById("sizes") ?? "");
  app.before(themeButton(() => explorer.redraw()));
  app.hidden = false;
  await explorer.run();
}

begin().catch((error: unknown) => {
  const said = document.createElement("p");
  said.className = "error";
  said.textContent = `The page's script cannot go on: ${error}`;
  document.getElementById("app")!.before(said);
});
