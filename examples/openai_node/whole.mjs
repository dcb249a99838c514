// A whole answer with the OpenAI SDK for Node. Nothing but `baseURL` tells that a proxy answers.
//
//   cd examples/openai_node && npm ci && node whole.mjs
//
// FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.FALLTHROUGH_URL ?? "http://127.0.0.1:8080/v1",
  apiKey: process.env.FALLTHROUGH_KEY ?? "any",
});

const { data, response } = await client.chat.completions
  .create({ model: "gpt-4o-mini", messages: [{ role: "user", content: "Say hello." }] })
  .withResponse();

console.log(data.choices[0].message.content);
console.log(`answered by ${response.headers.get("x-fallthrough-upstream")}`);
