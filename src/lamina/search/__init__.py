"""Search of architectures and hyper-parameters: a space, a strategy, trials that are runs, and a result that is one."""
