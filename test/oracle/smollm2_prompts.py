"""The 20 prompts of the SmolLM2 golden data: plain and chat-formatted, from 1 to about 200 tokens. Text only.

make_smollm2_golden.py copies the texts into the golden file, so nothing but that script reads this one.
"""

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def chat(*turns, system=SYSTEM):
    """SmolLM2-Instruct's format: turns alternate user, assistant, user, ...; ends where the assistant speaks next."""
    text = f"<|im_start|>system\n{system}<|im_end|>\n"
    for index, turn in enumerate(turns):
        text += f"<|im_start|>{'assistant' if index % 2 else 'user'}\n{turn}<|im_end|>\n"
    return text + "<|im_start|>assistant\n"


LIGHTHOUSE = (
    "The lighthouse had stood on the northern cliff for more than two hundred years, and in all that time its lamp had "
    "failed only once. Old Marta, who kept it, knew the story by heart: in the winter of 1871 a storm from the west had "
    "torn the gallery away, and the keeper of that day had climbed the broken stairs with a lantern tied to his belt, "
    "and had stood there until morning, so that the herring fleet could find the harbour. Forty-one boats came home. "
    "The keeper did not. Since then every keeper had carved a small notch into the doorframe on the first night of "
    "winter, to show that the lamp was lit and that somebody was awake. This year there was no room left on the frame. "
    "Marta stood before it with the knife in her hand, and the wind rising behind her, and thought for a long time. "
    "Then she turned to the window, looked out over the dark water, and"
)

MEMO = (
    "From: Operations\nTo: All staff\nSubject: Moving the archive\n\nOn Monday 14 October the archive moves from the "
    "second floor to the basement. Boxes that are not labelled by Friday will be stored with the unclaimed items, and "
    "it takes two weeks to get them back. Please use the yellow labels for paper, the blue ones for drawings and the "
    "red ones for anything that must stay dry. The lift is reserved for the movers from 8:00 to 16:30; use the stairs. "
    "Questions go to Ines (room 214) before Thursday noon."
)

PROMPTS = {
    "one-token": "The",
    "capital": "The capital of France is",
    "once": "Once upon a time, in a small village at the foot of a mountain, there lived",
    "gravity": "Gravity is a force that",
    "digits": "Count on:  1, 2, 3, 4, 5,\n 6, 7, 12345,",
    "python": "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n    if n < 2:\n",
    "c-code": "#include <stdio.h>\n\nint main(int argc, char **argv) {\n\tfor (int i = 0; i < argc; ++i)\n",
    "list": "# Shopping list\n\n- apples\n- bread\n- milk\n-",
    "accents": "Le café était fermé, et la forêt — déjà dorée — sentait la pluie. 日本語 🙂",
    "lighthouse": LIGHTHOUSE,
    "chat-france": chat("What is the capital of France?"),
    "chat-poem": chat("Write a short poem about the sea."),
    "chat-sum": chat("What is 17 + 25? Explain each step."),
    "chat-code": chat("Write a Python function that reverses a string."),
    "chat-no-system": "<|im_start|>user\nName three primary colours.<|im_end|>\n<|im_start|>assistant\n",
    "chat-pirate": chat("How do I boil an egg?", system="You answer like a pirate, in one paragraph."),
    "chat-turns": chat("Hi, I am Ada.", "Hello Ada! How can I help you today?", "What is my name, and how is it spelled backwards?"),
    "chat-memo": chat(f"Summarise this memo in two sentences.\n\n{MEMO}"),
    "chat-german": chat("Übersetze ins Englische: Der Hund schläft unter dem alten Apfelbaum."),
    "chat-json": chat('Give me a JSON object with the keys "name", "age" and "city" for a made-up person.'),
}
