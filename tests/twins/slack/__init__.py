"""A Slack on loopback: `from tests.twins.slack import SlackTwin`. What it can do is told in `server.py`."""

from tests.twins.slack.interactions import NotPossible
from tests.twins.slack.modals import Submitted
from tests.twins.slack.other_bots import OtherBot
from tests.twins.slack.people import Person
from tests.twins.slack.seen import Seen
from tests.twins.slack.server import SlackTwin
from tests.twins.slack.signed_http import ChallengeRefused

__all__ = ["ChallengeRefused", "NotPossible", "OtherBot", "Person", "Seen", "SlackTwin", "Submitted"]
