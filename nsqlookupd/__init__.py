"""nsqlookupd: the directory of a cluster, which tells consumers what nsqd carry a topic."""
