namespace Hydragen.Cli.Demo;

/// <summary>
/// Writes synthetic documents and questions about them. The algorithm is that of <c>tools/train/corpus.py</c>, draw for draw:
/// the same grammar, seed, token budget and tokenizer give the same text in both languages. Training used no 32-bit seed, so
/// every document made here is new to the model. Thread-safe.
/// </summary>
internal sealed class SyntheticDocumentGenerator(Grammar grammar)
{
    /// <summary>Writes a document of at most <paramref name="documentTokens"/> tokens, and close to that, with questions.</summary>
    /// <param name="seed">Seed of the document; the same seed gives the same document.</param>
    /// <param name="documentTokens">Most tokens that the document may have, special tokens not counted.</param>
    /// <param name="numQuestions">
    /// Number of questions. Every fact is asked once before any is asked again in other words.
    /// </param>
    /// <param name="countTokens">Counts the tokens of a text, without special tokens.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is negative, or too small for any document.</exception>
    /// <exception cref="ArgumentException">The document holds too few facts for so many questions.</exception>
    public SyntheticDocument Generate(int seed, int documentTokens, int numQuestions, Func<string, int> countTokens)
    {
        ArgumentNullException.ThrowIfNull(countTokens);
        ArgumentOutOfRangeException.ThrowIfNegative(numQuestions);
        SplitMix64 random = new(unchecked((ulong)(long)seed));
        Dictionary<string, string[]> cast = DrawCast(ref random, documentTokens);
        List<Unit> units = WriteUnits(ref random, cast, documentTokens, countTokens);
        string text = string.Concat(units.Select(unit => unit.Text));
        int numTokens = countTokens(text);

        // A tokenizer that merges across sentences may count the whole otherwise than its parts.
        while (numTokens > documentTokens && units.Count > 1)
        {
            units.RemoveAt(units.Count - 1);
            text = string.Concat(units.Select(unit => unit.Text));
            numTokens = countTokens(text);
        }

        if (numTokens > documentTokens)
        {
            throw new ArgumentOutOfRangeException(nameof(documentTokens), documentTokens,
                $"A document needs at least {numTokens} tokens.");
        }

        List<Fact> facts = [];
        foreach (Unit unit in units)
        {
            if (unit.Fact is not null)
                facts.Add(unit.Fact with { Position = (double)unit.Offset / numTokens });
        }

        int maxQuestions = facts.Sum(fact => fact.Kind.Questions.Count);
        return new SyntheticDocument(text, Ask(ref random, facts, documentTokens, numQuestions, maxQuestions), numTokens, facts.Count, maxQuestions);
    }

    private static List<SyntheticQuestion> Ask(
        ref SplitMix64 random, List<Fact> facts, int documentTokens, int numQuestions, int most)
    {
        if (numQuestions > most)
        {
            throw new ArgumentException(
                $"A document of {documentTokens} tokens states {facts.Count} facts, enough for {most} questions; "
                + $"{numQuestions} were asked for. Ask fewer, or make the document longer.", nameof(numQuestions));
        }

        int[] order = [.. Enumerable.Range(0, facts.Count)];
        for (int i = order.Length - 1; i > 0; i--)
        {
            int j = random.Next(i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        int[] firstPhrasing = new int[order.Length];
        for (int i = 0; i < order.Length; i++)
            firstPhrasing[i] = random.Next(facts[order[i]].Kind.Questions.Count);

        List<SyntheticQuestion> questions = new(numQuestions);
        for (int turn = 0; questions.Count < numQuestions; turn++)
        {
            for (int i = 0; i < order.Length && questions.Count < numQuestions; i++)
            {
                Fact fact = facts[order[i]];
                IReadOnlyList<Template> phrasings = fact.Kind.Questions;
                if (turn >= phrasings.Count)
                    continue;
                string text = phrasings[(firstPhrasing[i] + turn) % phrasings.Count].Render(fact.Values);
                questions.Add(new SyntheticQuestion(
                    text, fact.Values[fact.Kind.Value], " " + fact.Kind.Answer.Render(fact.Values), fact.Position));
            }
        }

        return questions;
    }

    private List<Unit> WriteUnits(
        ref SplitMix64 random, Dictionary<string, string[]> cast, int documentTokens, Func<string, int> countTokens)
    {
        List<Unit> units = [new Unit(grammar.Title + grammar.ParagraphEnd, 0, null)];
        HashSet<string> usedKeys = new(StringComparer.Ordinal);
        int total = countTokens(units[0].Text);
        int paragraphLeft = DrawParagraph(ref random);
        while (true)
        {
            Fact? fact = null;
            Template template;
            Dictionary<string, string> values;
            if (random.Next(100) < grammar.DistractorPercent)
            {
                template = grammar.Distractors[random.Next(grammar.Distractors.Count)];
                values = [];
                foreach (string slot in template.Slots)
                    values[slot] = DrawValue(ref random, grammar.SlotsByName[slot], values, cast);
            }
            else
            {
                fact = DrawFact(ref random, cast, usedKeys);
                if (fact is null)
                    break;
                values = fact.Values;
                template = fact.Kind.Statements[random.Next(fact.Kind.Statements.Count)];
            }

            string text = grammar.Separator + template.Render(values);
            if (--paragraphLeft == 0)
            {
                text += grammar.ParagraphEnd;
                paragraphLeft = DrawParagraph(ref random);
            }

            int numTokens = countTokens(text);
            if (total + numTokens > documentTokens)
                break;
            units.Add(new Unit(text, total, fact));
            total += numTokens;
        }

        Unit last = units[^1];
        if (last.Text.EndsWith(grammar.ParagraphEnd, StringComparison.Ordinal))
            units[^1] = last with { Text = last.Text[..^grammar.ParagraphEnd.Length] };
        return units;
    }

    private Fact? DrawFact(ref SplitMix64 random, Dictionary<string, string[]> cast, HashSet<string> usedKeys)
    {
        for (int draw = 0; draw < grammar.MaxDrawsPerFact; draw++)
        {
            GrammarFact kind = grammar.Facts[random.Next(grammar.Facts.Count)];
            Dictionary<string, string> values = [];
            string key = kind.Type;
            foreach (string slot in kind.Key)
            {
                values[slot] = DrawValue(ref random, grammar.SlotsByName[slot], values, cast);
                key += "\n" + values[slot];
            }

            // A key twice in a document would make its question ambiguous.
            if (!usedKeys.Add(key))
                continue;
            values[kind.Value] = DrawValue(ref random, grammar.SlotsByName[kind.Value], values, cast);
            return new Fact(kind, values, 0);
        }

        return null;
    }

    private Dictionary<string, string[]> DrawCast(ref SplitMix64 random, int documentTokens)
    {
        Dictionary<string, string[]> cast = [];
        foreach (GrammarSlot slot in grammar.Slots)
        {
            if (!slot.HasCast)
                continue;
            int numForms = slot.Form.Slots.Aggregate(1, (product, list) => product * grammar.Lists[list].Count);
            int size = Math.Max(grammar.MinCastSize, documentTokens / grammar.TokensPerCastMember);
            size = Math.Min(size, numForms / 2);
            HashSet<string> seen = new(StringComparer.Ordinal);
            List<string> members = new(size);
            while (members.Count < size)
            {
                string member = FillForm(ref random, slot);
                if (seen.Add(member))
                    members.Add(member);
            }

            cast[slot.Name] = [.. members];
        }

        return cast;
    }

    private string DrawValue(
        ref SplitMix64 random, GrammarSlot slot, Dictionary<string, string> values, Dictionary<string, string[]> cast)
    {
        if (slot.HasCast)
        {
            string[] members = cast[slot.Name];
            return members[random.Next(members.Length)];
        }

        if (slot.CastOf is null)
            return FillForm(ref random, slot);
        string[] others = cast[slot.CastOf];
        while (true)
        {
            string member = others[random.Next(others.Length)];
            if (member != values[slot.CastOf])
                return member;
        }
    }

    private string FillForm(ref SplitMix64 random, GrammarSlot slot)
    {
        Template form = slot.Form;
        string text = form.Literals[0];
        for (int i = 0; i < form.Slots.Count; i++)
        {
            IReadOnlyList<string> words = grammar.Lists[form.Slots[i]];
            text += words[random.Next(words.Count)] + form.Literals[i + 1];
        }

        return text;
    }

    private int DrawParagraph(ref SplitMix64 random) =>
        grammar.MinParagraphSentences + random.Next(grammar.MaxParagraphSentences - grammar.MinParagraphSentences + 1);

    private sealed record Fact(GrammarFact Kind, Dictionary<string, string> Values, double Position);

    private sealed record Unit(string Text, int Offset, Fact? Fact);
}
