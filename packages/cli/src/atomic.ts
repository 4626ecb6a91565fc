import { groupOf, isElsewhere } from './elsewhere.ts';

// Two bundles beside this one: a command reads and compiles only what it may need.
if (isElsewhere(groupOf(process.argv.slice(2)))) void import('./whole.ts');
else void import('./machine.ts');
