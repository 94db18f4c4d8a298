"""Commands that act on what a running application has done: steered by an operator, told in the audit."""
