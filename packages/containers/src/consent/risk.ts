/** One thing a command line lets a container do to the machine, in words for whoever has to agree to it. */
export interface Risk {
  /** Stable, for the record of consents: `privileged`, `mount:/etc`, `network`, … */
  id: string;
  /** `grave`: needs consent; `note`: is said. */
  weight: 'grave' | 'note';
  text: string;
}

export const grave = (id: string, text: string): Risk => ({ id, weight: 'grave', text });
export const note = (id: string, text: string): Risk => ({ id, weight: 'note', text });

/** Of a file of the machine that is given to the container, whole or as its options or environment. */
export const fileRisk = (path: string, how: string): Risk =>
  grave(`file:${path}`, `is given the file ${path} of this machine (${how})`);
