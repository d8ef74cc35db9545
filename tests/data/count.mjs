// Counts the samples in tokens.json again and writes the counts back:
//   npm install --no-save gpt-tokenizer@4.0.0 && node tests/data/count.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { encode } from "gpt-tokenizer/encoding/o200k_base";

const file = new URL("tokens.json", import.meta.url);
const samples = JSON.parse(readFileSync(file, "utf8"));
for (const sample of samples) sample.tokens = encode(sample.text).length;
writeFileSync(file, `[\n${samples.map((sample) => JSON.stringify(sample)).join(",\n")}\n]\n`);
console.log(`${samples.length} samples`);
