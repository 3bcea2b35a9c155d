// SPDX-License-Identifier: MIT OR Apache-2.0
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { debris, open, root, runAll, test, work } from "./browser.mjs";

const TRACES = join(root, "tests/data/linux-6.1");
const DATA = join(root, "tests/data");
/** Every recording of tests/data. */
const RECORDINGS = [...readdirSync(DATA, { recursive: true }).filter((file) => file.endsWith(".trace")), "cases/cma-debug.log"].map((file) => join(DATA, file));
const FIGURES = ["ops", "allocs", "failed", "placement_fnv1a", "bitmap_fnv1a", "used", "maxchunk", "peak_pages", "failed_fragmented", "failed_full", "failed_orders"];

/** What the page shows when its run is done. */
async function shown(page) {
  await page.waitForFunction(() => document.querySelector("#stop-run")?.disabled && document.querySelector("#figures")?.dataset.record, null, { timeout: 60_000 });
  return JSON.parse(await page.getAttribute("#figures", "data-record"));
}

function figures(record) {
  return Object.fromEntries(FIGURES.map((key) => [key, record[key]]));
}

/** What the tool says of the same run. */
function told(trace, mib, placement, align) {
  const lines = debris("replay", trace, "--area", `${mib}M`, "--placement", placement, "--align", align, "--held", "release", "--json");
  return JSON.parse(lines.trim().split("\n").at(-1));
}

function pageOf(trace, name, ...words) {
  const file = join(work, `${name}.html`);
  debris("size", trace, "--html", file, ...words);
  return file;
}

/** The placements that the tool knows and the page draws: all but the one that moves buffers. */
function placements() {
  const { stderr } = spawnSync(join(root, "build/debris"), ["size", join(TRACES, "camera.trace"), "--placement", "none"], { encoding: "utf8" });
  return stderr.trim().split("there are ")[1].split(" ").filter((name) => name !== "relocate");
}

/** Splits the requests in the page, and compares both areas with what the tool does with such a part. */
async function compareSplit(page, trace, by, at, keys) {
  await page.selectOption("#split", by);
  await page.fill("#split-at", at);
  await page.dispatchEvent("#split-at", "change");
  await shown(page);
  assert.equal(await page.locator("#parts p").count(), 3);
  for (const [place, key] of keys.entries()) {
    await page.selectOption("#which", String(place));
    const mib = await page.inputValue(place === 0 ? "#mib" : "#second-mib");
    const line = `replay area=${mib}M ${key} held=release failures=0`;
    const record = JSON.parse(debris("lab", "--area", `${mib}M`, "--initrd", trace, line).trim().split("\n").at(-1));
    assert.ok(record.allocs > 0, `${key} has requests`);
    await page.waitForFunction((fingerprint) => document.querySelector("#figures").dataset.record.includes(fingerprint), record.placement_fnv1a, { timeout: 60_000 });
    assert.deepEqual(figures(await shown(page)), figures(record), `${by} ${at} ${key}`);
    assert.ok((await page.locator("#parts p").nth(place).textContent()).includes(`${record.failed} of ${record.allocs} request`));
  }
}

/** A number of pages that cuts a recording's requests in two; 64 for what is no plain recording. */
function middle(trace) {
  const sizes = [...readFileSync(trace, "utf8").matchAll(/^a \d+ (\d+) /gm)].map((line) => Number(line[1]));
  const larger = [...new Set(sizes)].sort((one, other) => one - other).slice(1);
  return larger[larger.length >> 1] ?? 64;
}

for (const trace of RECORDINGS) {
  const name = basename(trace);
  test(`the figures of ${name} are the tool's`, async () => {
    const { page, wrong, close } = await open(pageOf(trace, name));
    const compare = async (placement, align) => {
      const record = await shown(page);
      const mib = await page.inputValue("#mib");
      assert.deepEqual(figures(record), figures(told(trace, mib, placement, align)), `${mib}M ${placement} ${align}`);
      return record;
    };
    await compare("first-fit", "asis");
    // The slider, by its keys.
    await page.focus("#size");
    const before = await page.inputValue("#mib");
    await page.keyboard.press("ArrowRight");
    assert.equal(Number(await page.inputValue("#mib")), Number(before) + 4);
    await compare("first-fit", "asis");
    await page.keyboard.press("Home");
    assert.equal(await page.inputValue("#mib"), "4");
    assert.ok((await compare("first-fit", "asis")).failed > 0 || before === "4", "requests fail in 4 MiB");
    await page.keyboard.press("End");
    await compare("first-fit", "asis");
    await page.fill("#mib", before);
    await page.dispatchEvent("#mib", "change");
    const values = (choice) => page.locator(`${choice} option`).evaluateAll((options) => options.map((option) => option.value));
    assert.deepEqual(await values("#placement"), placements());
    for (const placement of await values("#placement")) {
      await page.selectOption("#placement", placement);
      await compare(placement, "asis");
    }
    await page.selectOption("#placement", "first-fit");
    assert.deepEqual(await values("#align"), ["asis", "order", "page"]);
    for (const align of await values("#align")) {
      await page.selectOption("#align", align);
      await compare("first-fit", align);
    }
    await page.selectOption("#align", "asis");
    const at = middle(trace);
    await compareSplit(page, trace, "size", String(at), [`pages=-${at - 1}`, `pages=${at}-`]);
    assert.deepEqual(wrong, []);
    await close();
  });
}

test("the size that the page names is one in which nothing fails", async () => {
  const trace = join(TRACES, "churn-full.trace");
  const answer = JSON.parse(debris("size", trace, "--placement", "first-fit", "--align", "asis", "--json"));
  const { page, wrong, close } = await open(pageOf(trace, "verdict"));
  assert.match(await page.textContent("#paste"), new RegExp(`^cma=${answer.smallest_pages / 256}M\n`));
  assert.ok((await shown(page)).failed > 0);
  await page.fill("#mib", String(answer.smallest_pages / 256));
  await page.dispatchEvent("#mib", "change");
  assert.equal((await shown(page)).failed, 0);
  assert.match(await page.textContent("#outcome"), /^Large enough: .*none of 10910 requests fails/);
  assert.deepEqual(wrong, []);
  await close();
});

test("without scripts the verdict, the picture and the tables stand there", async () => {
  const { page, wrong, close } = await open(pageOf(join(TRACES, "churn-full.trace"), "static"), { javaScriptEnabled: false });
  assert.match(await page.textContent("h1"), /^Fragmented: \d+ of 10910 requests fail in 16M$/);
  assert.match(await page.textContent("#paste"), /^cma=20M\nsize = <0x1400000>;/);
  assert.ok(await page.isVisible("#worst svg"));
  assert.ok((await page.locator("#worst svg path").count()) > 1);
  assert.equal(await page.locator("#sizes tbody tr").count(), 4);
  assert.equal(await page.locator("#failures tbody tr").count(), 20);
  assert.deepEqual(wrong, []);
  await close();
});

/** A recording of ftrace: two tasks, of which one is called like an element. */
function hostile(file, pfns = [0x10000, 0x10001]) {
  const bad = "<img src=x onerror=alert(1)>";
  const line = (task, ms, event) => `${task.padStart(16)}-77      [000] .....     1.${String(ms).padStart(6, "0")}: ${event}\n`;
  let text = "# tracer: nop\n";
  pfns.forEach((pfn, at) => {
    text += line(bad, at, `cma_alloc_finish: name=<b>x&y</b> pfn=0x${pfn.toString(16)} page=0000000000000000 count=1 align=0 errorno=0`);
  });
  text += line("</script>", 900, "cma_alloc_finish: name=<b>x&y</b> pfn=0x0 page=0000000000000000 count=4096 align=0 errorno=-12");
  writeFileSync(file, text);
}

test("what a recording says is shown as text", async () => {
  const trace = join(work, "<i>&.trace");
  hostile(trace);
  for (const javaScriptEnabled of [true, false]) {
    const file = join(work, "hostile.html");
    debris("replay", trace, "--area", "4M", "--html", file);
    const { page, wrong, close } = await open(file, { javaScriptEnabled });
    if (javaScriptEnabled) {
      await shown(page);
      await page.focus("#map");
      await page.keyboard.press("Home");
      await page.hover("#moment", { position: { x: 62, y: 7 } });
    }
    assert.equal(await page.locator("img, b b, i i, header i").count(), 0);
    const text = await page.textContent("main");
    assert.ok(text.includes("</script>"), "the failing task is named");
    assert.ok(text.includes("<i>&.trace"), "and the file");
    if (javaScriptEnabled) assert.ok(text.includes("of <img src=x onerror=alert(1)>"), "and the task of a buffer");
    assert.deepEqual(wrong, []);
    await close();
  }
});

test("keys step, sort and choose", async () => {
  const { page, wrong, close } = await open(pageOf(join(TRACES, "churn-full.trace"), "keys"));
  await shown(page);
  const words = () => page.textContent("#moment-words");
  await page.focus("#map");
  await page.keyboard.press("Home");
  assert.match(await words(), /^Step 0 \(line 1\) of/);
  await page.keyboard.press("ArrowRight");
  assert.match(await words(), /^Step 1 \(line 2\) of/);
  await page.keyboard.press("n");
  assert.match(await words(), /Line 938: a request for 72 pages at a multiple of 128 fails \(fragmented\): 1020 free, longest run 60/);
  assert.match(await page.textContent("#blocked"), /Cheapest window: pages \d+–\d+, \d+ used/);
  await page.click("#failures-live th button >> text=pages");
  await page.click("#failures-live th button >> text=pages");
  assert.equal(await page.getAttribute("#failures-live th:nth-child(2)", "aria-sort"), "descending");
  const pages = await page.locator("#failures-live tbody tr td:nth-child(2)").allTextContents();
  assert.deepEqual(pages.map(Number), pages.map(Number).sort((one, other) => other - one));
  await page.focus("#failures-live tbody tr");
  await page.keyboard.press("Enter");
  assert.ok((await words()).includes(`${pages[0]} pages`));
  await page.click("#theme");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  assert.deepEqual(wrong, []);
  await close();
});

test("what is typed is said where it is rounded, and Stop puts the controls back", async () => {
  const { page, wrong, close } = await open(pageOf(join(TRACES, "churn-full.trace"), "controls", "--placement", "first-fit", "--align", "asis"));
  const record = await shown(page);
  const most = await page.getAttribute("#size", "max");
  const type = async (text) => {
    await page.fill("#mib", text);
    await page.dispatchEvent("#mib", "change");
    return shown(page);
  };
  await type("13");
  assert.match(await page.textContent("#rounded"), /^13 is taken as 16 MiB: /);
  await type("10000");
  assert.match(await page.textContent("#rounded"), /^10000 is taken as 3840 MiB: /);
  await type("16");
  assert.equal(await page.textContent("#rounded"), "");
  assert.equal(await page.getAttribute("#size", "max"), most);
  // In one turn of the page, so that the run cannot end before it is stopped.
  await page.evaluate(() => {
    const size = document.querySelector("#size");
    size.value = "3";
    size.dispatchEvent(new Event("input", { bubbles: true }));
    document.querySelector("#stop-run").click();
  });
  await page.waitForFunction(() => document.querySelector("#figures").textContent.startsWith("Stopped"));
  assert.deepEqual([await page.inputValue("#mib"), await page.inputValue("#size")], ["16", "4"]);
  assert.deepEqual(figures(JSON.parse(await page.getAttribute("#figures", "data-record"))), figures(record));
  // Played at its end, the course begins anew.
  await page.focus("#map");
  await page.keyboard.press("End");
  await page.click("#play");
  await page.waitForFunction(() => !/^Step (2\d{4}|19\d{3}) /.test(document.querySelector("#moment-words").textContent));
  // All rows are one stop of the tab key.
  assert.equal(await page.locator("#failures-live tbody tr[tabindex='0']").count(), 1);
  await page.focus("#failures-live tbody tr");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => [...document.querySelectorAll("#failures-live tbody tr")].indexOf(document.activeElement)), 1);
  assert.equal(await page.locator("#failures-live tbody tr[tabindex='0']").count(), 1);
  assert.deepEqual(wrong, []);
  await close();
});

test("the page says what the tool says of what is not counted, and what made it", async () => {
  const log = join(DATA, "cases/cma-debug.log");
  const said = debris("size", log).split("\n").filter((line) => /not counted|^On the board/.test(line));
  assert.equal(said.length, 2);
  const { page, wrong, close } = await open(pageOf(log, "caveats"), { javaScriptEnabled: false });
  assert.deepEqual(await page.locator("header p.caveat").allTextContents(), said);
  assert.match(await page.textContent("#made"), /^Made by debris \d+\.\d+\.\d+: debris size cma-debug\.log$/);
  assert.deepEqual(wrong, []);
  await close();
});

test("of a replay that is refused there is no page", () => {
  const trace = join(work, "twice.trace");
  writeFileSync(trace, "a 1 4 0\na 1 4 0\n");
  const file = join(work, "refused.html");
  const run = spawnSync(join(root, "build/debris"), ["replay", trace, "--area", "4M", "--html", file], { encoding: "utf8" });
  assert.equal(run.status, 2);
  assert.match(run.stderr, /--html: the replay was refused, so .*refused\.html is not written/);
  assert.ok(!existsSync(file));
});

/** What the chart's legend says, by label. */
async function chartLegend(page) {
  const rows = await page.locator("#chart .u-series").evaluateAll((rows) => rows.map((row) => [row.querySelector(".u-label").textContent, row.querySelector(".u-value").textContent]));
  return Object.fromEntries(rows);
}

test("what the chart says of its steps is what lies there", async () => {
  const file = join(work, "camera.html");
  debris("replay", join(TRACES, "camera.trace"), "--area", "24M", "--held", "release", "--html", file);
  const { page, wrong, close } = await open(file);
  const record = await shown(page);
  assert.deepEqual(await chartLegend(page), { steps: "all 22066", "pages used": `at most ${record.peak_pages}`, "longest free run": `${record.maxchunk} at the end`, failures: "3 in all", area: "6144 pages", peak: `${record.peak_pages} pages` });
  const over = page.locator("#chart .u-over");
  const words = () => page.textContent("#moment-words");
  // Each failure has its dot, where its step is.
  let failures = 0;
  const seen = new Set();
  const { width, height } = await over.boundingBox();
  const shownAt = async (x) => {
    await over.hover({ position: { x, y: height / 2 } });
    const legend = await chartLegend(page);
    if (seen.has(legend.steps)) return;
    seen.add(legend.steps);
    const [first, last = first] = legend.steps.match(/^(\d+)(?:–(\d+))?, lines? /).slice(1).filter((step) => step !== undefined).map(Number);
    const [, most, at = first] = legend["pages used"].match(/^(?:at most )?(\d+)(?:, at step (\d+))?$/).map(Number);
    assert.ok(first <= at && at <= last, "the step is one of those");
    if (x % 97 === 0 || legend.failures !== "none") {
      await over.click({ position: { x, y: height / 2 } });
      const step = legend.failures === "none" ? at : Number(legend.failures.match(/at step (\d+)$/)[1]);
      assert.match(await words(), new RegExp(`^Step ${step} `));
      if (legend.failures === "none") assert.match(await words(), new RegExp(` with ${most} pages? of 6144, `));
      else assert.match(await words(), / fails \(/);
    }
    failures += Number(legend.failures.match(/^\d+/)?.[0] ?? 0);
  };
  for (let x = 0; x < width; x += 1) await shownAt(x);
  assert.equal(failures, 3);
  // Zoomed in, a point is a step.
  await page.focus("#map");
  for (let times = 0; times < 6; times++) await page.keyboard.press("+");
  await over.hover({ position: { x: width / 2, y: height / 2 } });
  assert.match((await chartLegend(page)).steps, /^\d+, line \d+$/);
  assert.match((await chartLegend(page))["longest free run"], /^\d+$/);
  assert.deepEqual(wrong, []);
  await close();
});

test("the chart's axis has room for its labels", async () => {
  const trace = join(work, "large.trace");
  writeFileSync(trace, "a 1 200000 0\na 2 100000 0\nr 1\na 3 250000 0\n");
  const { page, wrong, close } = await open(pageOf(trace, "large", "--placement", "first-fit", "--align", "asis"));
  await shown(page);
  // Six digits and what is between them and the plot.
  assert.ok((await page.evaluate(() => document.querySelector("#chart .u-over").offsetLeft)) >= 6 * 7 + 15);
  assert.deepEqual(wrong, []);
  await close();
});

test("a recording of 500,000 lines answers, and Stop ends a run", async () => {
  // Another recording 25 times, each with what it holds released behind it.
  const base = join(TRACES, "churn-full.trace");
  const lines = readFileSync(base, "utf8").trim().split("\n");
  const held = new Set();
  for (const line of lines) line[0] === "a" ? held.add(line.split(" ")[1]) : held.delete(line.split(" ")[1]);
  const once = [...lines, ...[...held].map((id) => `r ${id}`)].join("\n");
  const trace = join(work, "long.trace");
  writeFileSync(trace, `${Array(25).fill(once).join("\n")}\n`);
  const file = pageOf(trace, "long", "--placement", "first-fit", "--align", "asis");
  const { page, wrong, close } = await open(file);
  const record = await shown(page);
  const ms = Number(await page.getAttribute("#figures", "data-ms"));
  console.log(`500,000 lines: a run in ${ms.toFixed(0)} ms, a file of ${statSync(file).size} bytes`);
  assert.deepEqual(figures(record), figures(told(trace, await page.inputValue("#mib"), "first-fit", "asis")));
  // In one turn of the page, so that the run cannot end before it is stopped.
  const couldStop = await page.evaluate(() => {
    const placement = document.querySelector("#placement");
    placement.value = "best-fit";
    placement.dispatchEvent(new Event("change", { bubbles: true }));
    const stop = document.querySelector("#stop-run");
    const enabled = !stop.disabled;
    stop.click();
    return enabled;
  });
  assert.equal(couldStop, true);
  await page.waitForFunction(() => document.querySelector("#figures").textContent.startsWith("Stopped"));
  await page.selectOption("#placement", "first-fit");
  assert.deepEqual(figures(await shown(page)), figures(record));
  assert.deepEqual(wrong, []);
  await close();
});

/** A plain recording as ftrace writes one, of three tasks, each buffer at the lowest pages that are free. */
function traced(trace, file) {
  const events = ["# tracer: nop\n"];
  const held = [];
  for (const [at, line] of readFileSync(trace, "utf8").split("\n").entries()) {
    const [kind, id, count, order] = line.split(" ");
    let place = held.findIndex((buffer) => buffer.id === id);
    if (kind !== (place < 0 ? "a" : "r")) continue;
    if (kind === "a") {
      let pfn = 0x10000;
      place = held.findIndex((buffer) => buffer.pfn - pfn >= Number(count) || ((pfn = buffer.pfn + buffer.pages), false));
      place = place < 0 ? held.length : place;
      held.splice(place, 0, { id, pfn, pages: Number(count) });
    }
    const { pfn, pages } = held[place];
    const where = `name=cma pfn=0x${pfn.toString(16)} page=0000000000000000 count=${pages}`;
    const event = kind === "a" ? `cma_alloc_finish: ${where} align=${order} errorno=0` : `cma_release: ${where}`;
    if (kind === "r") held.splice(place, 1);
    const task = ["camera", "vpu-decode", "vpu-encode"][id % 3];
    events.push(`${task.padStart(16)}-77      [000] .....  ${(at / 1e4).toFixed(6).padStart(12)}: ${event}\n`);
  }
  writeFileSync(file, events.join(""));
}

for (const name of readdirSync(TRACES).filter((name) => name.endsWith(".trace"))) {
  test(`the requests of ${name} are split by task, as the tool splits them`, async () => {
    const trace = join(work, `tasks-${name}`);
    traced(join(TRACES, name), trace);
    const { page, wrong, close } = await open(pageOf(trace, `tasks-${name}`, "--placement", "first-fit", "--align", "asis"));
    await shown(page);
    await compareSplit(page, trace, "task", "vpu-*", ["task=!vpu-*", "task=vpu-*"]);
    await compareSplit(page, trace, "task", "camera", ["task=!camera", "task=camera"]);
    assert.deepEqual(wrong, []);
    await close();
  });
}

test("a plain recording has no tasks to split by", async () => {
  const { page, wrong, close } = await open(pageOf(join(TRACES, "camera.trace"), "split"));
  await shown(page);
  assert.ok(await page.locator("#split option[value=task]").evaluate((option) => option.disabled));
  assert.equal(await page.locator("#split option[value=task]").textContent(), "by task: the recording names none");
  assert.deepEqual(wrong, []);
  await close();
});

/** Two files of runs, of which the second is worse, and of which a record names an element. */
function sweeps() {
  const file = (name, call) => {
    const lines = [];
    for (const [placement, middle] of [["first-fit", 1000], ["best-fit", 1200], ["</script><img src=x onerror=alert(1)>", 10]]) {
      for (let seed = 1; seed <= 40; seed++) lines.push(JSON.stringify({ record: "debris", allocs: call(middle + 7 * (seed % 11), seed), used: 9, failed_pages: 3, key: `debris area=8M placement=${placement.replaceAll(" ", "\u00a0")} align=order seed=${seed}` }));
    }
    writeFileSync(join(work, name), `${lines.join("\n")}\n`);
    return join(work, name);
  };
  return [file("now.jsonl", (allocs) => allocs), file("before.jsonl", (allocs) => 2 * allocs)];
}

test("a report is a verdict, tables and curves", async () => {
  const [now, before] = sweeps();
  const file = join(work, "report.html");
  const printed = debris("report", now, "--html", file).split("\n");
  for (const javaScriptEnabled of [true, false]) {
    const { page, wrong, close } = await open(file, { javaScriptEnabled });
    assert.equal(await page.textContent("h1"), "best-fit lasts longest");
    assert.match(await page.textContent("#says"), /1235 allocations in the median under best-fit, .*; 1035 under first-fit: 40 seeds better, 0 worse, 0 equal \(p = 0\.0%\)/);
    const rows = page.locator("section.runs tbody tr");
    assert.equal(await rows.count(), 3);
    assert.equal(await page.locator("section.runs svg rect").count(), 3);
    assert.equal(await page.locator("img").count(), 0);
    assert.ok((await page.textContent("main")).includes("</script><img\u00a0src=x\u00a0onerror=alert(1)>"));
    // The table is the tool's.
    const [name, runs, failed, q1, median, q3] = printed.find((line) => line.includes("best-fit")).match(/^(.*?) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +-$/).slice(1);
    assert.ok(name.includes("placement=best-fit"));
    const cells = await rows.filter({ hasText: "best-fit" }).locator("td").allTextContents();
    assert.deepEqual([cells[0], cells[1], cells[3], cells[4], cells[5]], [runs, failed, q1, median, q3]);
    if (javaScriptEnabled) {
      assert.ok(await page.isVisible("#curves canvas"));
      assert.equal(await page.locator("#curves .u-series").count(), 1 + 3);
      await page.click("section.runs th button >> text=median");
      const medians = async () => (await rows.locator("td:nth-child(6)").allTextContents()).map(Number);
      assert.deepEqual(await medians(), [45, 1035, 1235]);
      await page.keyboard.press("Enter");
      assert.deepEqual(await medians(), [1235, 1035, 45]);
    }
    assert.deepEqual(wrong, []);
    await close();
  }
  assert.ok(statSync(file).size < 120_000, "a report has no allocator");
  const worse = spawnSync(join(root, "build/debris"), ["report", now, "--baseline", before, "--fail-on", "5%", "-o", file], { encoding: "utf8" });
  assert.deepEqual([worse.status, worse.stdout], [1, ""]);
  const { page, wrong, close } = await open(file);
  assert.equal(await page.textContent("h1"), "3 of 3 rows are worse than before by more than 5%");
  assert.equal(await page.locator("#curves .u-series").count(), 1 + 6);
  assert.deepEqual(wrong, []);
  await close();
});

test("without its template the tool says so, with status 2", () => {
  const alone = join(work, "debris");
  copyFileSync(join(root, "build/debris"), alone);
  const file = join(work, "none.html");
  const run = spawnSync(alone, ["size", join(TRACES, "churn-full.trace"), "--html", file], { encoding: "utf8" });
  assert.equal(run.status, 2);
  assert.match(run.stderr, /--html: .*debris-page\.html: .*`make host` makes it where node and npm are installed/);
  assert.ok(!existsSync(file));
});

test("the page is smaller than 1 MB beside the recording", () => {
  const template = join(root, "build/debris-page.html");
  assert.ok(existsSync(template) && statSync(template).size < 1_000_000);
});

await runAll();
