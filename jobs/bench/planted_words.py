"""Names, and what people write around them: made up, in two interleaved halves (see `jobs/bench/planted.py`)."""

from __future__ import annotations

FIRST_NAMES = tuple(
    """Emma Liam Olivia Noah Sophia James Charlotte Benjamin Amelia Lucas Harper Henry Evelyn Theodore Abigail Jack
    Grace Samuel Chloe Daniel Hannah Owen Lily Caleb Zoe Nathan Ruth Gareth Siobhan Angus Niamh Declan Saoirse Rhys
    María José Lucía Diego Ximena Javier Guadalupe Rodrigo João Inês Thiago Beatriz Caio Mariana François Amélie
    Thérèse Étienne Giulia Matteo Francesca Lorenzo Jürgen Annika Käthe Lukas Ingrid Bjørn Søren Astrid Agnieszka
    Paweł Małgorzata Zbigniew Ondřej Ivana Zoltán Ilona Bogdan Ioana Yannis Eleni Dimitri Svetlana Oleksandr
    Anastasia Aylin Mehmet Zeynep Emre Fatima Ahmed Layla Omar Yasmin Hassan Noor Khalid Shirin Reza Avi Noa Yael
    Priya Arjun Ananya Rohan Lakshmi Vikram Deepika Sanjay Nusrat Imran Wei Mei Jiahao Xiulan Haruto Yuki Sakura
    Kenji Minjun Jisoo Seoyeon Nguyen Linh Tuan Siti Putri Budi Maria Jomar Chinedu Amara Ngozi Kwame Akosua Kofi
    Thabo Nomvula Lerato Wanjiru Otieno Achieng Abebe Tigist Kekoa Leilani Tane Aroha Nayeli Cuauhtémoc""".split()
)

LAST_NAMES = tuple(
    """Smith Johnson Walker Bennett Whitfield Carter Hughes Donovan Fitzgerald MacLeod O'Brien O'Connor García
    Hernández Gutiérrez Fernández Silva Oliveira Pereira Dubois Lefèvre Moreau Rossi Bianchi Esposito Müller Schröder
    Hoffmann Andersson Lindqvist Nielsen Kowalski Wiśniewska Nováková Horváth Popescu Papadopoulos Ivanov Petrenko
    Yilmaz Demir Al-Sayed Haddad Mansour Rahimi Cohen Mizrahi Patel Sharma Iyer Chatterjee Khan Hussain Wang Zhang Chen
    Tanaka Suzuki Nakamura Kim Park Choi Tran Pham Santoso Wijaya Reyes dela-Cruz Okafor Adeyemi Mensah Owusu Nkosi
    Dlamini Kamau Odhiambo Tesfaye Kahananui Ngata""".split()
)

TEMPLATES: dict[str, tuple[str, ...]] = {
    "PERSON": (
        "Hey |PERSON|, how was your weekend?",
        "I met |PERSON| at the support group yesterday and we talked for hours.",
        "|PERSON| and I went hiking last Saturday, it was so peaceful.",
        "My sister |PERSON| just had a baby!",
        "Did |PERSON| tell you about the new job?",
        "Thanks so much, |PERSON|! That means a lot to me.",
        "|PERSON| said she is moving to Lisbon in May.",
        "We had dinner with |PERSON| and |PERSON| on Friday.",
        "Wow |PERSON|, that painting is beautiful!",
        "I'm thinking of inviting |PERSON| to the camping trip.",
        "My therapist, Dr. |PERSON|, thinks I should write more.",
        "|PERSON|'s adoption interview went really well last week.",
        "It was |PERSON| who taught me how to play the guitar.",
        "Yesterday |PERSON| showed me the pottery that the kids made.",
        "You should talk to |PERSON|; he runs the shelter downtown.",
        "omg |PERSON| is coming to the concert with us lol",
        "I haven't seen |PERSON| since we graduated in 2015.",
        "Can you ask |PERSON| whether the dog is allowed?",
        "The recipe is from |PERSON|, my neighbour.",
        "Hi |PERSON|! Long time no see.",
        "|PERSON| called me last night and we cried together.",
        "My best friend is called |PERSON|.",
        "Oh no, is |PERSON| okay? I heard about the accident.",
        "Congrats |PERSON|! You worked so hard for this.",
        "Our kids, |PERSON| and |PERSON|, love the beach.",
        "I'm |PERSON|, nice to meet you all.",
        "Then |PERSON| laughed and said it was nothing.",
        "Let me know when |PERSON| gets back from the trip.",
    ),
    "EMAIL_ADDRESS": (
        "You can reach me at |EMAIL_ADDRESS| any time.",
        "My new address is |EMAIL_ADDRESS|, the old one is gone.",
        "Send the photos to |EMAIL_ADDRESS| please!",
        "email: |EMAIL_ADDRESS|",
        "I wrote to |EMAIL_ADDRESS| but nobody answered.",
        "sign up with |EMAIL_ADDRESS|, it's free",
        "there is a link, mailto:|EMAIL_ADDRESS|, at the bottom",
        "the office <|EMAIL_ADDRESS|> replied at once",
        "|EMAIL_ADDRESS| is my work mail.",
        "cc |EMAIL_ADDRESS| and |EMAIL_ADDRESS|, thanks",
        "The agency (|EMAIL_ADDRESS|) sent the forms yesterday.",
        "PERSONAL NOTE: write |EMAIL_ADDRESS| tomorrow",
    ),
    "PHONE_NUMBER": (
        "Call me at |PHONE_NUMBER| when you land.",
        "My number is |PHONE_NUMBER|, text me!",
        "The shelter's phone is |PHONE_NUMBER|.",
        "ring |PHONE_NUMBER| before six",
        "I lost my phone, the new number is |PHONE_NUMBER|, ok?",
        "You can WhatsApp me on |PHONE_NUMBER|",
        "tel. |PHONE_NUMBER|",
        "She left a voicemail from |PHONE_NUMBER| last night.",
        "For the booking dial |PHONE_NUMBER| and ask for the manager.",
        "His mobile: |PHONE_NUMBER|; he answers after work.",
    ),
    "CREDIT_CARD": (
        "I paid with my card |CREDIT_CARD| yesterday.",
        "The card number is |CREDIT_CARD|, valid until 12/27.",
        "Somebody used |CREDIT_CARD| to buy shoes!",
        "use |CREDIT_CARD| for the tickets",
        "My visa |CREDIT_CARD| was declined again.",
        "They charged |CREDIT_CARD| twice for the camping gear.",
        "new card: |CREDIT_CARD|",
        "Please put the hotel on |CREDIT_CARD|, thank you!",
    ),
    "IBAN_CODE": (
        "Please transfer the rent to |IBAN_CODE| by Friday.",
        "My IBAN is |IBAN_CODE|.",
        "the account is |IBAN_CODE| at the local bank",
        "You can send the donation to |IBAN_CODE|, thanks!",
        "iban |IBAN_CODE|",
        "I sent 40 euros to |IBAN_CODE| 2 days ago.",
        "Refund goes to |IBAN_CODE|; it takes three days.",
        "Is |IBAN_CODE| still your account?",
    ),
}

PLAIN = (
    "I went to the support group yesterday and it was really powerful.",
    "We moved here on 2019-06-14, right before the summer.",
    "The race is on 8 May 2023 at 10:30, rain or shine.",
    "It cost 1,299.99 dollars, can you believe that?",
    "Running has been great for my mental health lately.",
    "I read 3 books in July and 12 in August.",
    "Flight LH 4711 leaves at 17:45 from gate B22.",
    "The marathon had 25,000 runners in 2022.",
    "My order 20230508-4471 still has not arrived.",
    "Version 2.14.3 fixed it, finally.",
    "Paris was lovely, but Berlin was more fun.",
    "The kids are so excited about the Grand Canyon.",
    "Netflix has a new show about whales.",
    "On Monday I start at the hospital, wish me luck!",
    "Christmas with the family was the best part of 2021.",
    "I painted a sunset with pink and orange skies.",
    "Counting calories: 1800 today, 2100 yesterday.",
    "The meeting is 09/12/2023 or 10/12/2023, I forgot.",
    "Room 1204, 3rd floor, code 8842.",
    "That's awesome! Self-care is so important.",
    "We have been married for 5 years already.",
    "The trail is 12.5 km long and climbs 800 metres.",
    "Python is my favourite language, Java less so.",
    "Apple and Google are both hiring in Dublin.",
    "Yes! The pottery class was so much fun.",
    "May was warm, June was wet.",
    "Will you be there? I hope so.",
    "Bread, milk, 2 eggs, 500 g of flour.",
    "They scored 4 - 2 in the last 10 minutes.",
    "Spring is my favourite season, everything blooms.",
    "It is 37 degrees outside, way too hot for hiking.",
    "The ISBN is 978-3-16-148410-0, get it at the library.",
    "I finally watched Inception and it blew my mind.",
    "Harvard rejected me, but Stanford looks promising.",
    "We drove through Arizona and Utah in our old Toyota.",
    "My Fitbit says I slept 6 hours 42 minutes.",
    "IKEA was packed, so we ordered the shelf from Amazon.",
    "Yoga, Pilates, swimming: I try everything once.",
    "The Beatles are still the best band ever.",
    "Lake Michigan looked like an ocean this morning.",
    "Our dog is a Labrador, the cat is a Siamese.",
    "Happy New Year! May it be a good one.",
    "Congress passed the bill on Thursday night.",
    "I bought Doritos and a Coke for the road.",
    "Spanish is easier than German, they say.",
    "Disneyland was too crowded, Yosemite was heaven.",
    "Excel crashed again and ate my budget.",
    "Back in September I joined a choir called Harmony.",
    "Instagram keeps showing me pottery videos.",
    "So cool! Keep going, you rock.",
    "Mental health matters. Take care of yourself.",
    "NASA launches the probe at 09:15 UTC.",
)
