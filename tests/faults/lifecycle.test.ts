import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { lifecycleScenarios } from './lifecycle-scenarios.ts';
import { makeStep } from './program.ts';
import { missing, testScenario } from './sweep-test.ts';

// Changes of what is deployed, killed before each call that changes the disk. tests/containers/lifecycle-kill.test.ts does so
// before each step of the journal; here FAULTS=all adds an error at each call.
const whole = process.env['FAULTS'] === 'all';
const skip = missing() || (whole || process.env['FAULTS'] === 'lifecycle' ? false : 'takes minutes: FAULTS=lifecycle');
const scratch = mkdtempSync('/var/tmp/atomic-faults-');
after(() => rmSync(scratch, { recursive: true, force: true }));
const step = skip === false ? await makeStep(join(scratch, 'program'), 'lifecycle-step.ts') : [];
const scenarios = skip === false ? lifecycleScenarios(step) : lifecycleScenarios(['none']);
for (const scenario of scenarios) {
  testScenario(scenario, { skip, scratch, logs: scratch, errors: whole ? 'one' : 'none', every: 1 });
}
