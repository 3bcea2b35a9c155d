// SPDX-License-Identifier: MIT OR Apache-2.0
// Puts the bundle, the style and the allocator into one file that needs no network:
// `node build.mjs WASM page OUTPUT` or `node build.mjs WASM playground OUTPUT`.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const [wasm, entry, output] = process.argv.slice(2);
if (!output) {
  console.error("usage: node build.mjs WASM page|playground OUTPUT");
  process.exit(2);
}

// A script that is bundled for its text, because a page opened from a file has no second file to start a worker from.
const asText = {
  name: "text of a script",
  setup(plugin) {
    plugin.onResolve({ filter: /\?text$/ }, (args) => ({
      path: join(args.resolveDir, args.path.replace(/\?text$/, "")),
      namespace: "text",
    }));
    plugin.onLoad({ filter: /.*/, namespace: "text" }, async (args) => ({
      contents: await bundle(args.path),
      loader: "text",
    }));
  },
};

async function bundle(file, plugins = []) {
  const built = await build({
    entryPoints: [file],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    target: ["es2022"],
    legalComments: "inline",
    plugins,
  });
  return built.outputFiles[0].text;
}

const script = (await bundle(join(here, "src", `${entry}.ts`), [asText])).replaceAll("</script", "<\\/script");
const styles = ["node_modules/uplot/dist/uPlot.min.css", "src/page.css"];
if (entry === "playground") styles.unshift("node_modules/@xterm/xterm/css/xterm.css");
const style = styles.map((file) => readFileSync(join(here, file), "utf8")).join("\n");
const fill = {
  style,
  script,
  // Only this script runs: no handler that a recording could bring with it.
  hash: createHash("sha256").update(script).digest("base64"),
  wasm: gzipSync(readFileSync(wasm), { level: 9 }).toString("base64"),
};
const template = readFileSync(join(here, "src", `${entry}.html`), "utf8");
const page = template.replace(/<!--build:(\w+)-->/g, (_, name) => fill[name]);
mkdirSync(dirname(output), { recursive: true });
writeFileSync(`${output}.new`, page);
renameSync(`${output}.new`, output);
