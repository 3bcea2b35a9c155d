// SPDX-License-Identifier: MIT OR Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { debris, open, root, runAll, test } from "./browser.mjs";

const FILE = join(root, "build/playground.html");

const screen = (page) => page.evaluate(() => [...document.querySelectorAll(".xterm-rows > div")].map((row) => row.textContent.replaceAll("\u00a0", " ").trimEnd()).join("\n"));

/** Waits until the screen has a text; fails with the screen. */
async function shows(page, text) {
  for (const end = Date.now() + 30_000; Date.now() < end; await page.waitForTimeout(50)) {
    if ((await screen(page)).includes(text)) return;
  }
  assert.fail(`no ${JSON.stringify(text)} in:\n${await screen(page)}`);
}

/** The words over the maps. */
async function maps(page, expected) {
  await page.waitForFunction((words) => [...document.querySelectorAll("#maps p.note")].map((line) => line.textContent).join("\n") === words, expected.join("\n"), { timeout: 30_000 }).catch(async () => {
    assert.deepEqual(await page.locator("#maps p.note").allTextContents(), expected);
  });
}

async function on() {
  const opened = await open(FILE, { viewport: { width: 1400, height: 900 } });
  await shows(opened.page, "in a page\ndebris>");
  return opened;
}

/** Drops a file onto the page. */
async function drop(page, name, bytes) {
  const data = await page.evaluateHandle(
    ([name, text]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name));
      return data;
    },
    [name, Buffer.from(bytes).toString("base64")],
  );
  await page.dispatchEvent("body", "drop", { dataTransfer: data });
}

test("the published experiment is one button, and its areas are the article's", async () => {
  const { page, wrong, close } = await on();
  // On a system in use it is no other experiment.
  await page.fill("#areas", "BiscuitOS_cma=64M");
  await page.click("#boot");
  await page.click(".xterm");
  await page.keyboard.type("alloc BiscuitOS_cma 100\n");
  await maps(page, ["BiscuitOS_cma: 64M, 1 buffer, 100 of 16384 pages used, longest free run 16284"]);
  await page.click("#experiment");
  await shows(page, "BiscuitOS_cma: 1384 pages used, 664 free in 86 runs, longest free run 44 pages (176 KiB)");
  await maps(page, ["BiscuitOS_cma: 8M, 137 buffers, 1384 of 2048 pages used, longest free run 44", "linux,cma: 16M, 0 buffers, 0 of 4096 pages used, longest free run 4096"]);
  assert.deepEqual(wrong, []);
  await close();
});

test("the prompt completes, remembers, and runs in the background", async () => {
  const { page, wrong, close } = await on();
  await page.click(".xterm");
  for (const word of ["rele", "a", "Bis"]) {
    await page.keyboard.type(word);
    await page.keyboard.press("Tab");
  }
  await shows(page, "debris> release all BiscuitOS_cma");
  await page.keyboard.press("Control+u");
  await page.keyboard.type("alloc BiscuitOS_cma 8\n");
  await shows(page, "id 1: 8 pages of BiscuitOS_cma at pfn 0x");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await shows(page, "id 2: 8 pages of BiscuitOS_cma at pfn 0x");
  await maps(page, ["BiscuitOS_cma: 8M, 2 buffers, 16 of 2048 pages used, longest free run 2032", "linux,cma: 16M, 0 buffers, 0 of 4096 pages used, longest free run 4096"]);
  await page.keyboard.type("debris linux,cma &\n");
  await page.waitForFunction(() => !document.querySelectorAll("#maps p.note")[1].textContent.includes(" 0 buffers"));
  assert.deepEqual(wrong, []);
  await close();
});

/** The first line of the maps, when it differs from another. */
async function moved(page, from) {
  await page.waitForFunction((from) => document.querySelector("#maps p.note").textContent !== from, from, { timeout: 30_000 });
  return page.textContent("#maps p.note");
}

test("a command that runs is on the map, and Ctrl-C ends it alone", async () => {
  const { page, wrong, close } = await on();
  await page.click(".xterm");
  await page.keyboard.type("alloc linux,cma 8\n");
  await shows(page, "id 1: 8 pages of linux,cma at pfn 0x");
  // None of these ends by itself, so whatever the map shows of it, it shows while it runs.
  for (const [command, says] of [
    ["debris until=ops ops=4000000000", "then Ctrl-C; "],
    ["debris placement=relocate until=ops ops=4000000000", "then Ctrl-C; "],
    ["compare until=ops ops=4000000000", "Stopped by Ctrl-C; this is done:"],
  ]) {
    const empty = "BiscuitOS_cma: 8M, 0 buffers, 0 of 2048 pages used, longest free run 2048";
    await page.keyboard.type(`${command}\n`);
    await moved(page, await moved(page, empty));
    // What is typed before it goes with the command.
    await page.keyboard.type("poweroff\n");
    await page.keyboard.press("Control+c");
    await shows(page, says);
    await page.keyboard.type("release all BiscuitOS_cma; version\n");
    await maps(page, [empty, "linux,cma: 16M, 1 buffer, 8 of 4096 pages used, longest free run 4088"]);
    await page.keyboard.type("reboot");
    await shows(page, "debris> reboot");
    await page.keyboard.press("Control+c");
    await shows(page, "debris> reboot^C");
  }
  await page.keyboard.type("alloc linux,cma 8\n");
  await shows(page, ": 8 pages of linux,cma at pfn 0x12008");
  // This one ends by itself, maybe before the key is there: then once more.
  for (let tried = 0; !(await screen(page)).includes("Stopped by Ctrl-C before: "); tried += 1) {
    assert.ok(tried < 20, "bench goes on to its end");
    await page.keyboard.type("bench\n");
    await page.keyboard.press("Control+c");
    await page.keyboard.type(`# tried ${tried}\n`);
    await shows(page, `debris> # tried ${tried}`);
  }
  assert.deepEqual(wrong, []);
  await close();
});

test("Ctrl-C ends the replay of a recording, while it is checked or after", async () => {
  const { page, wrong, close } = await on();
  await drop(page, "long.trace", "a 1 8 3\na 2 9 0\nr 1\nr 2\n".repeat(500_000));
  await shows(page, "debris> replay held=release failures=5");
  await page.click(".xterm");
  await page.keyboard.press("Control+c");
  await shows(page, "Ctrl-C");
  assert.deepEqual(wrong, []);
  await close();
});

test("Stop keeps the screen and the history, and what is typed at odds is said", async () => {
  const { page, wrong, close } = await open(FILE, { viewport: { width: 1280, height: 900 } });
  await shows(page, "in a page\ndebris>");
  await page.click(".xterm");
  await page.keyboard.type("alloc linux,cma 8\n");
  await shows(page, "id 1: 8 pages of linux,cma at pfn 0x");
  await page.keyboard.type("debris until=ops ops=4000000000\n");
  await page.waitForFunction(() => document.querySelector("#state").textContent === "running …");
  await page.click("#stop");
  await shows(page, "(the board was switched off and on: its areas start anew)");
  await page.waitForFunction(() => document.querySelector("#said").textContent.startsWith("Stopped: "));
  assert.ok((await screen(page)).includes("id 1: 8 pages of linux,cma at pfn 0x"));
  await page.click(".xterm");
  // Behind what the page typed: the command that was stopped, and the one before.
  for (let times = 0; times < 3; times++) await page.keyboard.press("ArrowUp");
  await shows(page, "\ndebris> alloc linux,cma 8");
  await page.keyboard.press("Control+u");
  // A row has 100 columns at least.
  await page.keyboard.type(`echo ${"x".repeat(86)}`);
  await shows(page, `debris> echo ${"x".repeat(86)}`);
  await page.keyboard.press("Control+u");
  await page.keyboard.insertText("é");
  await page.waitForFunction(() => document.querySelector("#said").textContent.includes("é is left out"));
  await page.keyboard.type("load; replay\n");
  await shows(page, "drop a file with one onto the page");
  await page.keyboard.type("pressure reliability\n");
  await shows(page, "debris> pressure reliability\npressure: this machine has no window of mappings: it needs the image in QEMU");
  await page.keyboard.type("selftest live\n");
  await shows(page, "# SKIP this machine has no window of mappings");
  assert.ok(!(await screen(page)).includes("not ok"));
  const boots = async (areas, says) => {
    await page.fill("#areas", areas);
    await page.click("#boot");
    await page.waitForFunction((says) => document.querySelector("#said").textContent === says, says).catch(async () => assert.equal(await page.textContent("#said"), says));
  };
  await boots("a=8", "a of 8 pages is rounded up to 4M.");
  await boots("a=8M a=4M", "two areas are called a; each needs a name of its own");
  await boots("a=1G", "");
  await maps(page, ["a: 1024M, 0 buffers, 0 of 262144 pages used, longest free run 262144"]);
  await drop(page, "dmesg.txt", "[    0.000000] Booting Linux on physical CPU 0x0\n[    1.234567] usb 1-1: new device\n");
  await page.waitForFunction(() => document.querySelector("#said").textContent.startsWith("dmesg.txt is a log, and has no line about CMA"));
  assert.deepEqual(wrong, []);
  await close();
});

test("Stop ends a command, and a fault the board", async () => {
  const { page, wrong, close } = await on();
  await page.click(".xterm");
  await page.keyboard.type("debris until=ops ops=4000000000\n");
  await page.waitForTimeout(300);
  await page.click("#stop");
  await shows(page, "in a page\ndebris>");
  await page.click(".xterm");
  await page.keyboard.type("fault panic\n");
  await shows(page, "(the machine stopped; Boot switches it on again)");
  await page.fill("#areas", "camera=64M");
  await page.click("#boot");
  await maps(page, ["camera: 64M, 0 buffers, 0 of 16384 pages used, longest free run 16384"]);
  await page.fill("#areas", "camera");
  await page.click("#boot");
  await page.waitForFunction(() => document.querySelector("#said").textContent.includes("camera is not an area; areas look like camera=64M"));
  assert.deepEqual(wrong, []);
  await close();
});

test("a recording is dropped, and its figures are the tool's", async () => {
  const { page, wrong, close } = await on();
  const trace = join(root, "tests/data/linux-6.1/churn-full.trace");
  await drop(page, basename(trace), readFileSync(trace));
  await page.waitForFunction(() => document.querySelector("#figures")?.dataset.record, null, { timeout: 60_000 });
  // The tool's page, without what its script replaces.
  assert.match(await page.textContent("#head h1"), /^Fragmented: \d+ of 10910 requests fail in 16M$/);
  assert.match(await page.textContent("#paste"), /^cma=20M\n/);
  assert.equal(await page.locator("#sizes tbody tr").count(), 4);
  assert.equal(await page.locator("#worst, #failures").count(), 0);
  assert.match(await page.textContent("#said"), /^churn-full\.trace: no request fails in 20M \(cma=20M\); at most 3258 pages are held at once\. Shown in 16M\.$/);
  const record = JSON.parse(await page.getAttribute("#figures", "data-record"));
  const told = JSON.parse(debris("replay", trace, "--area", "16M", "--held", "release", "--json").trim().split("\n").at(-1));
  for (const key of ["placement_fnv1a", "bitmap_fnv1a", "failed", "peak_pages"]) assert.equal(record[key], told[key], key);
  await maps(page, [`area: 16M, 156 buffers, ${told.used} of 4096 pages used, longest free run ${told.maxchunk}`]);
  assert.deepEqual(wrong, []);
  await close();
});

test("a log is dropped: its state is on the map, and its lines in words", async () => {
  const { page, wrong, close } = await on();
  const log = join(root, "tests/data/cases/free-list.log");
  await drop(page, "dmesg.txt", readFileSync(log));
  await maps(page, ["board: 8M, 7 buffers, 1691 of 2048 pages used, longest free run 166"]);
  // The tool's words, but for commands that the prompt does not have.
  const story = await page.textContent("#story");
  assert.deepEqual(story.split("\n").filter((line) => !line.includes("`")), debris("explain", log).split("\n").filter((line) => !line.includes("`")));
  assert.ok(!story.includes("`debris "), story);
  assert.match(story, /`load` at the prompt, then `relocate board 256`, shows the cheapest windows.*\. A recording that is dropped here says how large\./);
  await drop(page, "bitmap", `4294967295 ${"0 ".repeat(63)}\n`);
  await maps(page, ["board: 8M, 1 buffer, 32 of 2048 pages used, longest free run 2016"]);
  assert.equal(await page.locator("#story").count(), 0);
  await drop(page, "<b>x</b>.png", "\x89PNG\x00\x01 nothing of ours");
  await page.waitForFunction(() => document.querySelector("#said").textContent.startsWith("<b>x</b>.png is no recording, state or log that is known here"));
  assert.deepEqual(wrong, []);
  await close();
});

await runAll();
