// What a Node application does on its first day. Prints one JSON object that the Python test judges.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "hello" }];
const seen = {};

const whole = await client.chat.completions.create({ model: "chat", messages });
seen.whole = whole.choices[0].message.content;
seen.requestId = whole._request_id;

let text = "";
for await (const chunk of await client.chat.completions.create({ model: "chat", messages, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
seen.streamed = text;

const runner = client.chat.completions.stream({ model: "chat", messages, stream_options: { include_usage: true } });
const final = await runner.finalChatCompletion();
seen.helper = final.choices[0].message.content;
seen.total = (await runner.totalUsage()).total_tokens;

seen.models = [];
for await (const model of client.models.list()) seen.models.push(model.id);

try {
  await client.chat.completions.create({ model: "nope", messages });
} catch (error) {
  seen.error = { name: error.constructor.name, status: error.status, code: error.code, id: error.requestID };
}

seen.partial = "";
try {
  for await (const chunk of await client.chat.completions.create({ model: "only-vllm", messages, stream: true })) {
    seen.partial += chunk.choices[0]?.delta?.content ?? "";
  }
} catch (error) {
  seen.broken = { isApiError: error instanceof OpenAI.APIError, code: error.code ?? error.error?.code };
}

console.log(JSON.stringify(seen));
