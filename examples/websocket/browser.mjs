// An answer word by word in a page, over a WebSocket (docs/websocket.md). A page needs a line in the table,
// `settings.origins: [https://your.page]`, and a key for each person who sees it: who sees the page has the key.
//
//   import { ask } from "./browser.mjs";
//   await ask("https://proxy.example.com/v1", key, "Say hello.", (words) => paragraph.append(words));
//
// Node has the same WebSocket: node.mjs, beside this file, tries it without a page.
export function ask(url, key, question, tell) {
  return new Promise((whole, broken) => {
    const socket = new WebSocket(url.replace(/^http/, "ws") + "/chat/stream", ["fallthrough", "api-key." + key]);
    const body = { model: "gpt-4o-mini", messages: [{ role: "user", content: question }] };
    socket.onopen = () => socket.send(JSON.stringify({ type: "request", body }));
    socket.onerror = socket.onclose = () => broken(new Error("the connection was lost, or never made"));
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === "chunk") tell(frame.data.choices[0]?.delta?.content ?? "");
      if (frame.type === "complete") whole(frame.usage);
      if (frame.type === "error") broken(new Error(frame.error.message));
      if (frame.type === "complete" || frame.type === "error") socket.close();
    };
  });
}
