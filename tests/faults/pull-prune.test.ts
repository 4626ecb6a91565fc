import { testScenarios } from './sweep-test.ts';

await testScenarios(/^(pull|prune)/);
