// SPDX-License-Identifier: MIT OR Apache-2.0
// The allocator in a worker: whoever holds the worker ends a run by ending it.
import type { Reply, ToWorker } from "./protocol";

interface Exports {
  memory: WebAssembly.Memory;
  recording(bytes: number): number;
  request(bytes: number): number;
  run(): void;
  answer(number: number): number;
  answer_bytes(number: number): number;
}

declare function postMessage(message: Reply, transfer: Transferable[]): void;

let exports: Exports | undefined;

function fill(place: number, bytes: Uint8Array): void {
  new Uint8Array(exports!.memory.buffer, place, bytes.length).set(bytes);
}

// Copies, because the memory may grow and then lies elsewhere.
function answer(number: number): Uint8Array<ArrayBuffer> {
  const { memory, answer, answer_bytes } = exports!;
  return new Uint8Array(memory.buffer, answer(number), answer_bytes(number)).slice();
}

async function handle(message: ToWorker): Promise<void> {
  if (message.wasm) {
    const imports = { page: { now_ms: () => performance.now() } };
    const made = await WebAssembly.instantiate(message.wasm, imports);
    exports = made.instance.exports as unknown as Exports;
  }
  if (message.recording) {
    fill(exports!.recording(message.recording.length), message.recording);
  }
  if (message.request !== undefined) {
    const begin = performance.now();
    const request = new TextEncoder().encode(message.request);
    fill(exports!.request(request.length), request);
    exports!.run();
    const text = new TextDecoder().decode(answer(0));
    const words = [1, 2, 3].map((number) => new Uint32Array(answer(number).buffer));
    const reply: Reply = { number: message.number, text, words, ms: performance.now() - begin };
    postMessage(reply, words.map((word) => word.buffer as ArrayBuffer));
  }
}

let turn = Promise.resolve();
addEventListener("message", (event: MessageEvent<ToWorker>) => {
  const { number } = event.data;
  turn = turn
    .then(() => handle(event.data))
    .catch((error: unknown) => {
      // A trap leaves the instance as it is; the next request gets a new worker.
      postMessage({ number, text: JSON.stringify({ error: `the allocator stopped: ${error}`, fatal: true }), words: [], ms: 0 }, []);
    });
});
