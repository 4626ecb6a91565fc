import { groupOf, isElsewhere } from './groups.ts';

// A bundle holds machine.ts; whole.ts is another, beside it.
if (isElsewhere(groupOf(process.argv.slice(2)))) void import('./whole.ts');
else void import('./machine.ts');
