// An answer word by word. One that breaks off throws: it never looks like one that was finished.
//
//   cd examples/openai_node && npm ci && node stream.mjs
//
// FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.FALLTHROUGH_URL ?? "http://127.0.0.1:8080/v1",
  apiKey: process.env.FALLTHROUGH_KEY ?? "any",
});

const stream = await client.chat.completions.create({
  model: "gpt-4o-mini",
  messages: [{ role: "user", content: "Say hello." }],
  stream: true,
});

try {
  for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
  process.stdout.write("\n");
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  // What was printed is real and not all of it. Keep it or ask anew: only the program knows which.
  console.error(`\nThe answer broke off: ${error.message}`);
  process.exitCode = 1;
}
