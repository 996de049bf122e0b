/** The example an operator starts from runs as it stands. */
import '../../../docs/examples/push-policy/policy.test.ts';
