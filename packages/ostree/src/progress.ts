/** One report of a long operation. Counts are of the phase's own unit (objects, files); bytes are bytes. */
export interface ProgressEvent {
  phase: string;
  done?: number | undefined;
  total?: number | undefined;
  bytes?: number | undefined;
  totalBytes?: number | undefined;
  message?: string | undefined;
}

export type Progress = (event: ProgressEvent) => void;

/**
 * Lets a long synchronous loop breathe: at most every 20 ms it gives the event loop a turn, so that signals,
 * timers and progress get through. Throws the signal's reason once aborted.
 */
export function breather(signal?: AbortSignal | undefined): () => Promise<void> | undefined {
  let last = performance.now();
  return () => {
    const now = performance.now();
    if (now - last < 20) return undefined;
    last = now;
    return new Promise((resolve, reject) => {
      setImmediate(() => {
        if (signal?.aborted) reject(signal.reason);
        else resolve();
      });
    });
  };
}
