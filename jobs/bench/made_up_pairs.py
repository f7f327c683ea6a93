"""Made-up pairs of statements by one speaker, each with what it is: the same, a contradiction, or neither.

Half of them are meant to mislead: the same words with another meaning, two events of one kind, two things that are
liked.
"""

from __future__ import annotations

SAME = (
    ("I love green tea with honey.", "Green tea with honey, I love!"),
    ("My sister moved to Lisbon in May", "In May, my sister moved to Lisbon."),
    ("The meeting starts at 5 pm", "the meeting starts at 5 pm!"),
    ("She teaches children how to swim", "She is teaching the children how to swim"),
    ("We adopted a small grey cat from the shelter", "From the shelter we adopted a small, grey cat"),
    ("My father is a carpenter in Leeds", "In Leeds my father is a carpenter"),
    ("I am allergic to peanuts", "I'm allergic to peanuts!"),
    ("Our anniversary is on 12 June", "On 12 June is our anniversary"),
    ("The painting hangs in the hall", "The painting is hanging in the hall."),
    ("I do not eat meat", "I don't eat meat"),
    ("My favourite colour is blue", "Blue is my favourite colour"),
    ("Every Friday I play chess with Tom", "I play chess with Tom every Friday"),
    ("The library closes at eight", "The library closes at eight."),
    ("I have three brothers", "I have three brothers!!"),
    ("He works at the harbour office", "He is working at the harbour office"),
)

CONTRADICTIONS = (
    ("Caroline lives in Rome with her sister", "Caroline lives in Oslo with her sister"),
    ("I have two dogs", "I have three dogs"),
    ("The meeting is on Monday", "The meeting is on Tuesday"),
    ("I smoke", "I don't smoke"),
    ("My favourite colour is blue", "My favourite colour is green"),
    ("I am married", "I am not married"),
    ("My daughter is named Ella", "My daughter is named Emma"),
    ("The rent costs 900 euros a month", "The rent costs 1100 euros a month"),
    ("I work as a nurse", "I work as a teacher"),
    ("The shop opens at 9", "The shop opens at 10"),
    ("I like mushrooms", "I don't like mushrooms"),
    ("My birthday is on 3 March", "My birthday is on 5 March"),
    ("I weigh 70 kilos", "I weigh 74 kilos"),
    ("Our office is in Berlin", "Our office is in Hamburg"),
    ("The concert starts in June", "The concert starts in July"),
    ("I never drink coffee", "I drink coffee"),
    ("My brother is 31 years old", "My brother is 32 years old"),
    ("The flight leaves on Friday morning", "The flight leaves on Sunday morning"),
)

NEITHER = (
    ("I love tea", "You love tea"),
    ("I like tea", "I like coffee"),
    ("I bought a kayak at the harbour", "I bought a tent at the harbour"),
    ("I ran 5 miles", "I ran 7 miles"),
    ("We met in Rome last summer", "We met in Oslo last summer"),
    ("Is she in Rome?", "Is she in Oslo?"),
    ("I like mushrooms", "Do I like mushrooms?"),
    ("Talk to you soon!", "Talk to you later!"),
    ("Thanks, Evan, I really appreciate it", "Thanks, Evan, I appreciate your support"),
    ("I went to the gym on Monday", "I went to the gym on Tuesday"),
    ("I left before lunch", "I left after lunch"),
    ("I own a bike", "I own a car"),
    ("My sister is a doctor", "My brother is a doctor"),
    ("I read a book about whales", "I read a book about wolves"),
    ("I love my dog Max", "I love my dog Bella"),
    ("I speak French", "I speak Spanish"),
    ("The kids painted a horse", "The kids painted a sunset"),
    ("I watched 3 films yesterday", "I watched 2 films on Sunday"),
    ("We're going to the lake", "We're going to the museum"),
    ("That sounds great, Ann", "That sounds fun, Ann"),
    ("I am proud of you", "I am happy for you"),
    ("This is my favourite photo", "This is my favourite song"),
)
