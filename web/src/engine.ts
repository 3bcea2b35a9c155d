// SPDX-License-Identifier: MIT OR Apache-2.0
// The worker from the page's side: the newest question is the one that is answered, and Stop ends
// whatever runs.
import type { Reply, Rules, ToWorker } from "./protocol";
import source from "./worker.ts?text";

export class Stopped extends Error {}

/** Gzip in base64, as the page embeds it. */
export async function unpacked(element: string): Promise<Uint8Array<ArrayBuffer>> {
  const text = atob(document.getElementById(element)?.textContent?.trim() ?? "");
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export class Engine {
  private worker: Worker | undefined;
  private number = 0;
  private waiting: { number: number; meanwhile?: (reply: Reply) => void; resolve(reply: Reply): void; reject(error: Error): void } | undefined;

  constructor(
    private readonly wasm: Uint8Array<ArrayBuffer>,
    private recording?: Uint8Array,
  ) {}

  /** The recording that questions are about. */
  use(recording: Uint8Array): void {
    this.recording = recording;
    if (this.worker) this.post({ number: 0, recording });
  }

  /** Asks; a question before that is under way ends unanswered. What is said before the answer goes to `meanwhile`. */
  ask(request: Record<string, string | number | null | undefined>, meanwhile?: (reply: Reply) => void): Promise<Reply> {
    if (this.waiting) this.stop();
    if (!this.worker) this.start();
    const lines = Object.entries(request)
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([key, value]) => `${key}=${String(value).replaceAll("\n", " ")}`);
    const number = ++this.number;
    return new Promise((resolve, reject) => {
      this.waiting = { number, meanwhile, resolve, reject };
      this.post({ number, request: lines.join("\n") });
    });
  }

  async rules(): Promise<Rules> {
    return JSON.parse((await this.ask({ do: "rules" })).text) as Rules;
  }

  get busy(): boolean {
    return this.waiting !== undefined;
  }

  /** Ctrl-C for what runs; whether it was heard stands in the answer. */
  interrupt(): void {
    if (this.worker) this.post({ number: 0, interrupt: true });
  }

  /** Ends what runs. */
  stop(): void {
    this.worker?.terminate();
    this.worker = undefined;
    this.waiting?.reject(new Stopped("stopped"));
    this.waiting = undefined;
  }

  private start(): void {
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    this.worker = new Worker(address);
    URL.revokeObjectURL(address);
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      if (data.number !== this.waiting?.number) return;
      const { meanwhile, resolve } = this.waiting;
      if (data.running) return meanwhile?.(data);
      this.waiting = undefined;
      resolve(data);
    };
    this.worker.onerror = (event) => {
      this.waiting?.reject(new Error(event.message || "the worker could not start"));
      this.waiting = undefined;
    };
    this.post({ number: 0, wasm: this.wasm, recording: this.recording });
  }

  private post(message: ToWorker): void {
    this.worker!.postMessage(message);
  }
}
