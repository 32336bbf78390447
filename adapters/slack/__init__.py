"""Slack: slack-bolt for what comes in, the Web API for what goes out, `slack.db` for what is kept."""
