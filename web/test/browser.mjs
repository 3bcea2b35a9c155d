// SPDX-License-Identifier: MIT OR Apache-2.0
// Chromium without a network, the tool, and counts as cargo's tests print them.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const work = mkdtempSync(join(tmpdir(), "debris-web-"));
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync) ?? "chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

/** Runs the tool. */
export function debris(...words) {
  const options = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 30 };
  return execFileSync(join(root, "build/debris"), words, options);
}

/** Opens a file; whatever goes wrong in it is in `wrong`. */
export async function open(file, options = {}) {
  const context = await browser.newContext({ offline: true, viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!/^(file|blob|data):/.test(request.url())) wrong.push(`request: ${request.url()}`);
  });
  await page.goto(`file://${file}`);
  return { page, wrong, close: () => context.close() };
}

const tests = [];
export function test(name, call) {
  tests.push([name, call]);
}

/** Runs all tests whose names have what the command line says. */
export async function runAll() {
  let [passed, failed] = [0, 0];
  for (const [name, call] of tests) {
    if (process.argv[2] && !name.includes(process.argv[2])) continue;
    try {
      await call();
      console.log(`test ${name} ... ok`);
      passed++;
    } catch (error) {
      console.log(`test ${name} ... FAILED\n${error.stack ?? error}`);
      failed++;
    }
  }
  await browser.close();
  rmSync(work, { recursive: true });
  console.log(`test result: ${failed === 0 ? "ok" : "FAILED"}. ${passed} passed; ${failed} failed;`);
  process.exit(failed === 0 ? 0 : 1);
}
