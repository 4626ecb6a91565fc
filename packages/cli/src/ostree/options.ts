/**
 * Command lines and help as GLib's GOption has them, which is what scripts written for stock `ostree` rely on: options
 * anywhere, `--key=value` or `--key value`, grouped short flags, and its words for what is wrong.
 */

/** One option of a verb. */
export interface OptionSpec {
  long: string;
  short?: string;
  /** What the value is called; '' takes a value without naming it; absent makes the option a flag. */
  arg?: string;
  /** The value must be a whole number. */
  int?: boolean;
  text: string;
  /** Works, but `--help` does not list it. */
  hidden?: boolean;
  /** Ours, not stock's: shown apart. */
  ours?: boolean;
}

/** A command line that cannot be understood. `help`: the usage is to be shown before the message. */
export class UsageError extends Error {
  readonly help: boolean;
  constructor(message: string, help = false) {
    super(message);
    this.name = 'UsageError';
    this.help = help;
  }
}

/** What a command line said. Asking for an option that was not declared is a defect, and throws. */
export class Options {
  readonly #specs: Map<string, OptionSpec>;
  readonly #values = new Map<string, string[]>();

  constructor(specs: readonly OptionSpec[]) {
    this.#specs = new Map(specs.map((spec) => [spec.long, spec]));
  }

  record(spec: OptionSpec, value: string): void {
    const values = this.#values.get(spec.long);
    if (values === undefined) this.#values.set(spec.long, [value]);
    else values.push(value);
  }

  #get(name: string): string[] {
    if (!this.#specs.has(name)) throw new TypeError(`option --${name} is not declared`);
    return this.#values.get(name) ?? [];
  }

  flag(name: string): boolean {
    return this.#get(name).length > 0;
  }
  /** The last value given. */
  value(name: string): string | undefined {
    return this.#get(name).at(-1);
  }
  list(name: string): string[] {
    return this.#get(name);
  }
  int(name: string): number | undefined {
    const text = this.value(name);
    return text === undefined ? undefined : Number(text);
  }
  /** A boolean value, as `--fsync=POLICY` takes. */
  boolean(name: string): boolean | undefined {
    const text = this.value(name);
    if (text === undefined) return undefined;
    const yes = ['1', 'true', 'yes', 'y'].includes(text.toLowerCase());
    if (!yes && !['0', 'false', 'no', 'n', 'none'].includes(text.toLowerCase())) {
      throw new UsageError(`Invalid boolean argument '${text}'`);
    }
    return yes;
  }
}

/** What {@link parseOptions} understood. */
export interface Parsed {
  options: Options;
  args: string[];
  /** `--help` was met before anything wrong; what comes after it was not read. */
  help: boolean;
}

/** Parses arguments; throws {@link UsageError} in GOption's words. */
export function parseOptions(specs: readonly OptionSpec[], argv: readonly string[]): Parsed {
  const options = new Options(specs);
  const args: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i] ?? '';
    if (arg === '--') {
      args.push(...argv.slice(i + 1));
      break;
    }
    if (arg.startsWith('--')) {
      const equals = arg.indexOf('=');
      const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
      const spec = specs.find((one) => one.long === name);
      if (spec === undefined && (arg === '--help' || arg === '--help-all')) return { options, args, help: true };
      if (spec === undefined) throw new UsageError(`Unknown option ${arg}`);
      // GOption drops the value of an option that takes none: --gpg-verify=true is --gpg-verify.
      if (spec.arg === undefined) options.record(spec, '');
      else if (equals >= 0) options.record(spec, checked(spec, arg.slice(equals + 1), `--${name}`));
      else options.record(spec, checked(spec, argv[++i], `--${name}`));
    } else if (arg.startsWith('-') && arg !== '-') {
      for (let at = 1; at < arg.length; at++) {
        const letter = arg[at] ?? '';
        const spec = specs.find((one) => one.short === letter);
        if (spec === undefined && arg === '-h') return { options, args, help: true };
        if (spec === undefined) throw new UsageError(`Unknown option ${arg}`);
        if (spec.arg === undefined) {
          options.record(spec, '');
          continue;
        }
        const rest = arg.slice(at + 1);
        options.record(spec, checked(spec, rest === '' ? argv[++i] : rest, `-${letter}`));
        break;
      }
    } else args.push(arg);
  }
  return { options, args, help: false };
}

function checked(spec: OptionSpec, value: string | undefined, shown: string): string {
  if (value === undefined) throw new UsageError(`Missing argument for ${shown}`);
  if (spec.int === true && !/^[+-]?\d+$/.test(value)) {
    throw new UsageError(`Cannot parse integer value “${value}” for ${shown}`);
  }
  return value;
}

function left(spec: OptionSpec): string {
  const short = spec.short === undefined ? '' : `-${spec.short}, `;
  return `  ${short}--${spec.long}${spec.arg === undefined || spec.arg === '' ? '' : `=${spec.arg}`}`;
}

const HELP: OptionSpec = { long: 'help', short: 'h', text: 'Show help options' };

/** The help text, laid out as GOption lays it out. */
export function helpText(usage: string, summary: string, all: readonly OptionSpec[]): string {
  const specs = all.filter((spec) => spec.hidden !== true);
  const ours = specs.filter((spec) => spec.ours === true);
  const stock = specs.filter((spec) => spec.ours !== true);
  const width = Math.max(...[HELP, ...specs].map((spec) => left(spec).length)) + 5;
  const line = (spec: OptionSpec): string => `${left(spec).padEnd(width)}${spec.text}`;
  const groups = [`Help Options:\n${line(HELP)}`, `Application Options:\n${stock.map(line).join('\n')}`];
  if (ours.length > 0) groups.push(`Options of atomic:\n${ours.map(line).join('\n')}`);
  return `Usage:\n  ${usage}\n\n${summary}\n\n${groups.join('\n\n')}\n`;
}
