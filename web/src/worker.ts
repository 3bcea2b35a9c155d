// SPDX-License-Identifier: MIT OR Apache-2.0
// The allocator in a worker: whoever holds the worker ends a run by ending it. A command of the
// monitor's shows the areas while it runs, and pauses so that a Ctrl-C is heard; for that the
// browser has to be able to suspend WebAssembly (JSPI).
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

declare global {
  namespace WebAssembly {
    const Suspending: (new (call: () => Promise<number>) => () => number) | undefined;
    function promising(call: () => void): () => Promise<void>;
  }
}

let exports: Exports | undefined;
let run: () => Promise<void> | void;
/** The request that runs; 0 where none does. */
let running = 0;
let ctrlC = false;
let interrupted = false;

function fill(place: number, bytes: Uint8Array): void {
  new Uint8Array(exports!.memory.buffer, place, bytes.length).set(bytes);
}

// Copies, because the memory may grow and then lies elsewhere.
function answer(number: number): Uint8Array<ArrayBuffer> {
  const { memory, answer, answer_bytes } = exports!;
  return new Uint8Array(memory.buffer, answer(number), answer_bytes(number)).slice();
}

/** What a request has said so far, and the areas as they are. */
function show(text: number, bytes: number, areas: number, count: number): void {
  const { buffer } = exports!.memory;
  const words = new Uint32Array(buffer, areas, count).slice();
  const reply: Reply = { number: running, text: new TextDecoder().decode(new Uint8Array(buffer, text, bytes)), words: [words], ms: 0, running: true };
  postMessage(reply, [words.buffer]);
}

/** Lets messages come in. */
async function pause(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve));
  const heard = ctrlC;
  ctrlC = false;
  interrupted ||= heard;
  return heard ? 1 : 0;
}

async function handle(message: ToWorker): Promise<void> {
  if (message.wasm) {
    const { Suspending, promising } = WebAssembly;
    const imports = { page: { now_ms: () => performance.now(), show, pause: Suspending ? new Suspending(pause) : () => 0 } };
    const made = await WebAssembly.instantiate(message.wasm, imports);
    exports = made.instance.exports as unknown as Exports;
    run = Suspending ? promising(exports.run) : exports.run;
  }
  if (message.recording) {
    fill(exports!.recording(message.recording.length), message.recording);
  }
  if (message.request !== undefined) {
    const begin = performance.now();
    const request = new TextEncoder().encode(message.request);
    fill(exports!.request(request.length), request);
    running = message.number;
    interrupted = ctrlC = false;
    await run();
    running = 0;
    const text = new TextDecoder().decode(answer(0));
    const words = [1, 2, 3].map((number) => new Uint32Array(answer(number).buffer));
    const reply: Reply = { number: message.number, text, words, ms: performance.now() - begin, interrupted };
    postMessage(reply, words.map((word) => word.buffer as ArrayBuffer));
  }
}

let turn = Promise.resolve();
addEventListener("message", (event: MessageEvent<ToWorker>) => {
  const { number, interrupt } = event.data;
  if (interrupt) {
    ctrlC = running !== 0;
    return;
  }
  turn = turn
    .then(() => handle(event.data))
    .catch((error: unknown) => {
      // A trap leaves the instance as it is; the next request gets a new worker.
      postMessage({ number, text: JSON.stringify({ error: `the allocator stopped: ${error}`, fatal: true }), words: [], ms: 0 }, []);
    });
});
