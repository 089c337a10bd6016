/* Bundle the pages to ../app.js. With --check nothing is written: fails when the bundle there is another.
 *
 * The first line of the bundle has a digest of what it was made of, so that a test can tell without node that it is up to date. */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const bundle = join(here, "..", "app.js");
const text = (name) => readFileSync(join(here, name), "utf8");

const sources = readdirSync(here).filter((name) => /\.tsx?$/.test(name) || name === "package-lock.json");
const digest = createHash("sha256");
for (const name of sources.sort()) digest.update(`${name}\n${text(name)}`);
const licences = ["preact", "@tanstack/virtual-core"].map((name) => {
  const { version } = JSON.parse(text(`node_modules/${name}/package.json`));
  return `${name} ${version}\n\n${text(`node_modules/${name}/LICENSE`).trim()}`;
});
const notice = licences.join("\n\n").replaceAll("\n", "\n * ").replace(/ +$/gm, "");

const check = process.argv.includes("--check");
const made = await build({
  absWorkingDir: here,
  entryPoints: ["main.tsx"],
  outfile: bundle,
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "iife",
  target: ["chrome103", "firefox113", "safari16.4"], // the first that can inflate gzip
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { "process.env.NODE_ENV": '"production"' },
  banner: {
    js: `/* Made of porting/report/html/src by \`make page\`; sources sha256:${digest.digest("hex")}\n *\n * Has in it:\n *\n * ${notice} */\n"use strict";`,
  },
  write: !check,
});
if (check && made.outputFiles[0].text !== readFileSync(bundle, "utf8")) {
  console.error("app.js is not what its sources make: npm run build");
  process.exit(1);
}
