using System.Text.Json;

namespace Hydragen.Cli.Demo;

/// <summary>
/// The grammar of the synthetic corpus: word lists, sentence templates and question phrasings, read from
/// <c>grammar.json</c>, the same file that the trainer in <c>tools/train</c> reads. Immutable and thread-safe.
/// </summary>
internal sealed class Grammar
{
    private const string ResourceName = "Hydragen.Cli.Demo.grammar.json";

    private static readonly Lazy<Grammar> LazyDefault = new(LoadResource);

    private Grammar(JsonElement root)
    {
        Title = Text(root, "title");
        QuestionPrefix = Text(root, "questionPrefix");
        AnswerPrefix = Text(root, "answerPrefix");
        Separator = Text(root, "separator");
        ParagraphEnd = Text(root, "paragraphEnd");
        DistractorPercent = root.GetProperty("distractorPercent").GetInt32();
        TokensPerCastMember = root.GetProperty("tokensPerCastMember").GetInt32();
        MinCastSize = root.GetProperty("minCastSize").GetInt32();
        MaxDrawsPerFact = root.GetProperty("maxDrawsPerFact").GetInt32();
        JsonElement paragraph = root.GetProperty("sentencesPerParagraph");
        MinParagraphSentences = paragraph.GetProperty("from").GetInt32();
        MaxParagraphSentences = paragraph.GetProperty("to").GetInt32();
        Lists = root.GetProperty("lists").EnumerateObject().ToDictionary(list => list.Name, list => Strings(list.Value));
        Slots = [.. root.GetProperty("slots").EnumerateObject().Select(slot => new GrammarSlot(
            slot.Name,
            Template.Parse(Text(slot.Value, "form")),
            slot.Value.TryGetProperty("cast", out JsonElement cast) && cast.GetBoolean(),
            slot.Value.TryGetProperty("castOf", out JsonElement castOf) ? castOf.GetString() : null))];
        SlotsByName = Slots.ToDictionary(slot => slot.Name);
        Facts = [.. root.GetProperty("facts").EnumerateArray().Select(fact => new GrammarFact(
            Text(fact, "type"),
            Strings(fact.GetProperty("key")),
            Text(fact, "value"),
            Templates(fact.GetProperty("statements")),
            Templates(fact.GetProperty("questions")),
            Template.Parse(Text(fact, "answer"))))];
        Distractors = Templates(root.GetProperty("distractors"));
    }

    /// <summary>The grammar embedded in this assembly.</summary>
    public static Grammar Default => LazyDefault.Value;

    /// <summary>The first sentence of every document.</summary>
    public string Title { get; }

    /// <summary>What stands between a document and a question.</summary>
    public string QuestionPrefix { get; }

    /// <summary>What stands between a question and its answer; the answer itself begins with a space.</summary>
    public string AnswerPrefix { get; }

    /// <summary>What stands before every sentence but the first.</summary>
    public string Separator { get; }

    /// <summary>What stands behind the last sentence of a paragraph.</summary>
    public string ParagraphEnd { get; }

    /// <summary>Sentences in a hundred that nobody asks about.</summary>
    public int DistractorPercent { get; }

    /// <summary>Document tokens for each member of a cast.</summary>
    public int TokensPerCastMember { get; }

    /// <summary>Smallest size of a cast.</summary>
    public int MinCastSize { get; }

    /// <summary>Draws after which a document counts as exhausted.</summary>
    public int MaxDrawsPerFact { get; }

    /// <summary>Fewest sentences of a paragraph.</summary>
    public int MinParagraphSentences { get; }

    /// <summary>Most sentences of a paragraph.</summary>
    public int MaxParagraphSentences { get; }

    /// <summary>The words of each list.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<string>> Lists { get; }

    /// <summary>The slots in the order of the file, which is the order of the casts' draws.</summary>
    public IReadOnlyList<GrammarSlot> Slots { get; }

    /// <summary>The same slots by name.</summary>
    public IReadOnlyDictionary<string, GrammarSlot> SlotsByName { get; }

    /// <summary>The kinds of facts.</summary>
    public IReadOnlyList<GrammarFact> Facts { get; }

    /// <summary>Sentences that nobody asks about.</summary>
    public IReadOnlyList<Template> Distractors { get; }

    /// <summary>Reads a grammar from UTF-8 JSON.</summary>
    /// <exception cref="JsonException">The text is not JSON.</exception>
    /// <exception cref="KeyNotFoundException">A part is missing.</exception>
    public static Grammar Parse(ReadOnlyMemory<byte> utf8Json)
    {
        using JsonDocument document = JsonDocument.Parse(utf8Json);
        return new Grammar(document.RootElement);
    }

    /// <summary>The text that follows a document to ask <paramref name="question"/>; tokenized apart from the document.</summary>
    public string PromptSuffix(string question) => QuestionPrefix + question + AnswerPrefix;

    private static Grammar LoadResource()
    {
        using Stream stream = typeof(Grammar).Assembly.GetManifestResourceStream(ResourceName)
            ?? throw new InvalidOperationException($"The assembly has no resource {ResourceName}.");
        using MemoryStream bytes = new();
        stream.CopyTo(bytes);
        return Parse(bytes.ToArray());
    }

    private static string Text(JsonElement element, string name) =>
        element.GetProperty(name).GetString() ?? throw new JsonException($"\"{name}\" must be a string.");

    private static IReadOnlyList<string> Strings(JsonElement array) =>
        [.. array.EnumerateArray().Select(item => item.GetString() ?? throw new JsonException("A list holds a null."))];

    private static IReadOnlyList<Template> Templates(JsonElement array) => [.. Strings(array).Select(Template.Parse)];
}
