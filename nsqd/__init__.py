"""nsqd: the daemon that receives, queues and delivers messages."""
