// What browser.mjs does, without a page: Node has the same WebSocket, and sends no `Origin`.
//
//   node examples/websocket/node.mjs          (before Node 22: node --experimental-websocket …)
//
// FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
import { ask } from "./browser.mjs";

const url = process.env.FALLTHROUGH_URL ?? "http://127.0.0.1:8080/v1";
const usage = await ask(url, process.env.FALLTHROUGH_KEY ?? "any", "Say hello.", (words) => process.stdout.write(words));
console.log(usage ? `\n${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out` : "");
