"""The words that chat platforms and the bot share: what comes in, what goes out, and `ChatAdapter`.

Everything here is a frozen value or a protocol; there is no I/O. What comes in is not trusted:
a `Turn`, `Click`, `Command` or `FormInput` says what a person did, not that the person may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NewType, Protocol

from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import BaseRoute

Platform = Literal["slack", "discord", "web", "terminal"]
CardId = NewType("CardId", str)  # stable for a run: "<run id>:status", "<run id>:approval:<id>", …


class Value(BaseModel):
    """A frozen value; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# ── where and who ────────────────────────────────────────────────────────────────────────────


class ConversationRef(Value):
    """One place where people and the bot talk: a thread, a direct message, a page's conversation."""

    platform: Platform
    workspace: str  # Slack team, Discord guild, "local" for web and terminal
    channel: str  # settings and permissions hang on (platform, workspace, channel)
    thread: str = ""  # "" where the channel itself is the conversation (direct messages)

    @property
    def key(self) -> str:
        """The conversation's id everywhere above the adapters, e.g. `web:local:general:c1`."""
        return f"{self.platform}:{self.workspace}:{self.channel}:{self.thread}"

    @property
    def channel_key(self) -> str:
        """The channel's id, under which its settings are kept."""
        return f"{self.platform}:{self.workspace}:{self.channel}"

    @staticmethod
    def from_key(key: str) -> ConversationRef:
        """Read `key` back.

        Raises:
            ValueError: the text is not a conversation key.
        """
        parts = key.split(":", 3)
        if len(parts) != 4:
            raise ValueError(f"not a conversation key: {key!r}")
        platform, workspace, channel, thread = parts
        return ConversationRef.model_validate(
            {"platform": platform, "workspace": workspace, "channel": channel, "thread": thread}
        )


class MessageRef(Value):
    """The handle of a message that was posted."""

    conversation: ConversationRef
    message_id: str  # the platform's own id
    parts: tuple[str, ...] = ()  # ids of further messages where one card needed several


class Person(Value):
    """A human on a platform."""

    platform: Platform
    id: str
    name: str
    groups: tuple[str, ...] = ()  # Slack user groups, Discord roles, by id
    is_admin: bool = False  # may change the settings of the channel
    known_as: str = ""  # key of the same person at another entrance, where there is one; "": none

    @property
    def key(self) -> str:
        """`platform:id`, or as another entrance knows them: the form in which approvers are listed."""
        return self.known_as or f"{self.platform}:{self.id}"


class Attachment(Value):
    """A file that a person sent with a turn; the bytes come from `ChatAdapter.download`."""

    id: str
    name: str
    media_type: str
    size: int  # bytes
    locator: str = ""  # what the adapter needs to download it


class ThreadLine(Value):
    """An earlier message of the thread, by anyone. Never an instruction to us."""

    author: str
    text: str
    at: datetime  # aware, UTC
    by_bot: bool = False


# ── what people do ───────────────────────────────────────────────────────────────────────────


class Turn(Value):
    """One message of a person to the bot."""

    key: str  # idempotency: the same message delivered again has the same key
    conversation: ConversationRef
    person: Person
    text: str
    attachments: tuple[Attachment, ...] = ()
    earlier: tuple[ThreadLine, ...] = ()  # thread text the bot has no record of
    context: Mapping[str, str] = Field(default_factory=dict)  # tone, length, format, …
    workflow: str | None = None  # asked for by name; None: the channel's default
    inputs: Mapping[str, Any] = Field(default_factory=dict)  # of the workflow, by name
    priority: str = ""  # critical, high, medium or low; "": as the workflow says
    deadline: datetime | None = None  # aware, UTC
    at: datetime  # aware, UTC


class Click(Value):
    """A button pressed on a card, or a reaction that means one."""

    key: str
    conversation: ConversationRef
    person: Person
    action: str  # see Button.action
    target: str  # see Button.target
    message: MessageRef | None = None
    trigger: str = ""  # what the platform needs to open a form in answer
    quiet: bool = False  # a reaction: it counts from who asked alone, and refusals are not said
    at: datetime


class Command(Value):
    """Words after `/quartet`, or after a mention."""

    key: str
    conversation: ConversationRef
    person: Person
    text: str  # "status", "run quartet Write …"
    at: datetime


class FormInput(Value):
    """A form that a person sent."""

    key: str
    conversation: ConversationRef
    person: Person
    form_id: str  # Form.id
    values: Mapping[str, str]
    at: datetime


class Withdrawal(Value):
    """A person deleted a message that had started a turn."""

    key: str
    turn_key: str  # Turn.key of the deleted message
    conversation: ConversationRef
    person: Person  # who had written it
    at: datetime


class Feedback(Value):
    """What a person thinks of an answer. The newest word of a person counts."""

    key: str
    conversation: ConversationRef
    person: Person
    target: str  # Card.feedback: run id
    good: bool
    comment: str = ""
    at: datetime


# ── what people see ──────────────────────────────────────────────────────────────────────────

RowState = Literal["waiting", "working", "done", "failed", "skipped", "asking"]


class AgentRow(Value):
    """One agent's line on the status card."""

    name: str
    state: RowState
    doing: str = ""  # "searching the knowledge folder for …"
    seconds: float | None = None  # None: not started. While working: up to `since`'s card version
    since: datetime | None = None  # start of the work in progress, so that a page can count on
    tokens: int = 0
    cost_usd: float | None = None  # None: no price known, or nothing spent
    stands_for: int = 1  # so many steps that are alike, where there are too many for a line each


class MarkdownPart(Value):
    """Text in Markdown (CommonMark and tables). Untrusted: may hold anything, HTML included."""

    kind: Literal["markdown"] = "markdown"
    text: str


class RowsPart(Value):
    """The agents' lines."""

    kind: Literal["rows"] = "rows"
    rows: tuple[AgentRow, ...]


class TaskLine(Value):
    """One task of a plan."""

    id: str
    title: str
    acceptance: str = ""
    depends_on: tuple[str, ...] = ()
    state: RowState | None = "waiting"  # None: not shown, as where the plan itself is in question


class PlanPart(Value):
    """A plan: its goal, tasks and risks."""

    kind: Literal["plan"] = "plan"
    goal: str
    tasks: tuple[TaskLine, ...]
    outline: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()


class SourceLine(Value):
    """One numbered source."""

    number: int
    title: str
    url: str  # http(s) address, or a path in the knowledge folder
    quoted: str = ""


class SourcesPart(Value):
    """The sources of an answer."""

    kind: Literal["sources"] = "sources"
    sources: tuple[SourceLine, ...]


class FactsPart(Value):
    """Small labelled values: tokens, cost, time."""

    kind: Literal["facts"] = "facts"
    facts: tuple[tuple[str, str], ...]


class NotesPart(Value):
    """A titled list of remarks: review notes, gaps, warnings."""

    kind: Literal["notes"] = "notes"
    title: str
    notes: tuple[str, ...]


class FilePart(Value):
    """A file made by an agent, offered with the card."""

    kind: Literal["file"] = "file"
    name: str
    media_type: str
    text: str  # content; binary artifacts come later


class ImagePart(Value):
    """A drawing made by us. Whoever does not see it reads `alt`, which says all that it shows."""

    kind: Literal["image"] = "image"
    name: str  # of the file, without its ending: "deployment"
    alt: str  # the same in words; its names are untrusted
    svg: str = ""  # where `Limits.pictures` is "svg": made by us, holds no script and loads nothing
    png: str = ""  # where it is "png": base64


CardPart = Annotated[
    MarkdownPart | RowsPart | PlanPart | SourcesPart | FactsPart | NotesPart | FilePart | ImagePart,
    Field(discriminator="kind"),
]


class Button(Value):
    """A button on a card."""

    action: Literal[
        "approve", "edit", "changes", "reject", "answer", "stop", "pause", "resume", "retry", "settings"
    ]
    # Approval id; run id for stop, pause, resume, retry; ConversationRef.channel_key for settings.
    target: str
    label: str
    style: Literal["primary", "danger", "plain"] = "plain"
    needs_form: bool = False  # the click is answered with a form


CardKind = Literal["status", "approval", "answer", "error", "reply", "picture"]


class Card(Value):
    """A neutral view of something in a run. Adapters draw it; nothing of it may be lost."""

    id: CardId
    kind: CardKind
    title: str
    status: str = ""  # one word for the state: "working", "waiting for approval", "approved by Ada"
    parts: tuple[CardPart, ...] = ()
    buttons: tuple[Button, ...] = ()
    label: str = ""  # "engine: rules" where no language model worked
    feedback: str = ""  # run id: people may say whether this answer was good, where the platform can


class FormField(Value):
    """One field of a form."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    multiline: bool = False
    required: bool = True
    max_length: int = 20_000
    choices: tuple[tuple[str, str], ...] = ()  # (value, label): one of these; empty: free text


class Form(Value):
    """A form in answer to a click: Edit, Ask for changes, Answer."""

    id: str  # "<action>:<target>", comes back as FormInput.form_id
    title: str
    fields: tuple[FormField, ...]
    submit: str = "Send"
    note: str = ""


class HomeQuestion(Value):
    """An approval that waits for this person, with the conversation it stands in."""

    conversation: ConversationRef
    card: Card  # kind "approval", with its buttons


class HomeRun(Value):
    """One of this person's runs."""

    run_id: str
    title: str
    status: str
    conversation: ConversationRef
    at: datetime  # aware, UTC; when it was asked for


class HomeChannel(Value):
    """A channel whose settings this person may change."""

    channel_key: str
    facts: tuple[tuple[str, str], ...]  # setting → value, as people read it
    button: Button  # action "settings": opens the form


class Home(Value):
    """A person's own page at the bot: Slack's App Home."""

    questions: tuple[HomeQuestion, ...] = ()
    runs: tuple[HomeRun, ...] = ()  # newest first
    usage: FactsPart  # of this month
    channels: tuple[HomeChannel, ...] = ()
    label: str = ""


class Limits(Value):
    """What a platform can show in one message."""

    text: int  # characters of running text in one message
    buttons: int  # buttons in one message
    button_label: int
    messages: int = 3  # more than this for one card: attach the whole text as a file
    file_bytes: int = 20_000_000  # attachments larger than this are refused
    edit_interval_s: float = 1.0  # a card is not edited more often; the newest version wins
    # What an ImagePart is shown as. svg: it may be drawn anew whenever something changes; png: it stays.
    pictures: Literal["svg", "png", "words"] = "png"


# ── the two sides of the seam ────────────────────────────────────────────────────────────────


class Receipt(Value):
    """What became of something that came in, once it is stored."""

    accepted: bool
    text: str = ""  # for the person: why not, or the answer of a command
    run_id: str = ""
    errors: Mapping[str, str] = Field(default_factory=dict)  # field name → what is wrong (forms)
    card: Card | None = None  # a richer answer to a command
    form: Form | None = None  # a click's answer: open this form
    private: bool = False  # an accepted turn's text is for this person alone, where others read along


# "run": any; "stop", "pause", "resume": runs that this can be done to.
ChoiceKind = Literal["workflow", "run", "stop", "pause", "resume", "agent"]


class Choice(Value):
    """Something that a person may mean who is typing a command."""

    value: str  # goes into the command's words
    label: str  # as people read it


class Inbound(Protocol):
    """The bot's side: adapters hand in what people did. Each returns when it is stored."""

    async def turn(self, turn: Turn) -> Receipt:
        """Take a message. The same key twice is one turn."""
        ...

    async def click(self, click: Click) -> Receipt:
        """Take a click. `Receipt.form` asks the adapter to open a form; a refusal's text is private."""
        ...

    async def command(self, command: Command) -> Receipt:
        """Take `/quartet …`. The answer is in the receipt."""
        ...

    async def form(self, given: FormInput) -> Receipt:
        """Take a form. `Receipt.errors` are shown at their fields."""
        ...

    async def withdraw(self, given: Withdrawal) -> Receipt:
        """Take back a turn that still waits for its place; one that works or has ended stays."""
        ...

    async def feedback(self, given: Feedback) -> Receipt:
        """Keep what a person thinks of an answer."""
        ...

    async def home(self, workspace: str, person: Person) -> Home:
        """What this person's own page shows now. Changes nothing."""
        ...

    async def choices(self, kind: ChoiceKind, conversation: ConversationRef, typed: str) -> Sequence[Choice]:
        """What a person may mean who is typing a command; the best first, at most 25. Changes nothing."""
        ...


class ChatAdapter(Protocol):
    """The adapter's side: draw cards, deliver what people do. No method is optional."""

    @property
    def platform(self) -> Platform:
        """Which platform this is."""
        ...

    @property
    def limits(self) -> Limits:
        """What fits in one message."""
        ...

    @property
    def trouble(self) -> str:
        """Why the platform is not reached now, with the remedy; "": all is well."""
        ...

    @property
    def lacking(self) -> str:
        """What does not work though the platform is reached, with the remedy; "": nothing."""
        ...

    def routes(self) -> Sequence[BaseRoute]:
        """HTTP routes this adapter needs; empty for most. Mounted by the composition root."""
        ...

    async def start(self, inbound: Inbound) -> None:
        """Connect and begin to deliver. Returns when connected. After an error it may be called again.

        Raises:
            NotAllowed: the token is wrong; the message names the setting.
            PlatformDown: the platform cannot be reached now.
        """
        ...

    async def stop(self) -> None:
        """Disconnect; deliver nothing more. May be called twice."""
        ...

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        """Show a new card. The same nonce again within minutes posts nothing new where the platform can.

        For a status card `RateLimited` is raised at once where there is no room for it now. Other cards
        wait for their turn in here, ahead of all progress, also when the platform says 429.

        Raises:
            RateLimited, PlatformDown, NotAllowed, ConversationGone, CardRefused.
        """
        ...

    async def edit(self, message: MessageRef, card: Card) -> MessageRef:
        """Replace what the message shows. The handle may change (a card may grow by a message).

        `RateLimited` as in `post`.

        Raises:
            RateLimited, PlatformDown, NotAllowed, ConversationGone, MessageGone, CardRefused.
        """
        ...

    async def find(self, conversation: ConversationRef, card_id: CardId) -> MessageRef | None:
        """Look for the card among what was posted: asked after an unknown outcome, sparingly."""
        ...

    async def note(self, conversation: ConversationRef, person: Person, text: str) -> None:
        """Tell one person something that others do not see, as privately as the platform can."""
        ...

    async def busy(self, conversation: ConversationRef, text: str) -> None:
        """Show that work goes on ("" ends it): typing, a status line. Best effort, never raises."""
        ...

    async def download(self, attachment: Attachment) -> bytes:
        """Fetch a file that came with a turn.

        Raises:
            AttachmentRefused: too large, gone, or of a type we do not take.
        """
        ...
