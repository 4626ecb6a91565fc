import { testRepoScenarios } from './sweep-test.ts';

await testRepoScenarios(/^commit/);
