using Hydragen.Text.Decoders;

namespace Hydragen.Text;

/// <summary>Turns text into token ids and back, as a model's tokenizer.json (Hugging Face format) says.</summary>
/// <remarks>
/// Byte-pair encoding, byte-level or SentencePiece-style, with the ids that the format's reference implementation gives.
/// Encoding takes O(n log n) for n characters, whatever they are; only a file with an unusual split expression can ask for
/// more. Immutable after loading; safe for concurrent use.
/// The sections <c>truncation</c> and <c>padding</c> of the file are ignored: texts are encoded whole and unpadded.
/// </remarks>
public sealed class Tokenizer
{
    private const string FileName = "tokenizer.json";

    // Largest file accepted; the largest known real ones have some 35 MB.
    private const long MaximumFileBytes = 128L << 20;

    private readonly Encoder _encoder;
    private readonly SpecialTokenTemplate _template;

    private Tokenizer(TokenizerParts parts)
    {
        Vocabulary = parts.Vocabulary;
        _encoder = new Encoder(parts);
        _template = parts.Template;
        Decoder = parts.Decoder;
    }

    /// <summary>Largest token id plus one, added tokens included.</summary>
    public int VocabularySize => Vocabulary.Size;

    internal Vocabulary Vocabulary { get; }

    internal Decoder Decoder { get; }

    /// <summary>Loads a tokenizer from a file, or from the file tokenizer.json of a folder.</summary>
    /// <param name="path">The file or the folder.</param>
    /// <exception cref="TokenizerFormatException">The file is malformed or asks for something unsupported.</exception>
    /// <exception cref="IOException">The file is missing or cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    public static Tokenizer Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = Directory.Exists(path) ? Path.Combine(path, FileName) : path;
        using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        if (!stream.CanSeek)
            throw new IOException($"{file} is not a regular file.");
        if (stream.Length > MaximumFileBytes)
            throw new TokenizerFormatException(file, "$", $"the file has {stream.Length} bytes, at most {MaximumFileBytes} are supported");
        byte[] json = new byte[stream.Length];
        int numRead = stream.ReadAtLeast(json, json.Length, throwOnEndOfStream: false);
        return Parse(json.AsMemory(0, numRead), file);
    }

    /// <summary>Reads a tokenizer from the bytes of a tokenizer.json.</summary>
    /// <param name="utf8Json">UTF-8 JSON without a byte-order mark.</param>
    /// <param name="source">What messages call the origin of the bytes.</param>
    /// <exception cref="TokenizerFormatException">The bytes are malformed or ask for something unsupported.</exception>
    public static Tokenizer Parse(ReadOnlyMemory<byte> utf8Json, string source)
    {
        ArgumentNullException.ThrowIfNull(source);
        return new Tokenizer(TokenizerReader.Read(utf8Json, source));
    }

    /// <inheritdoc cref="Parse(ReadOnlyMemory{byte}, string)"/>
    public static Tokenizer Parse(ReadOnlySpan<byte> utf8Json, string source) => Parse(utf8Json.ToArray().AsMemory(), source);

    /// <summary>The text of a token as the vocabulary writes it, or null when no token has the id.</summary>
    /// <param name="id">Any number.</param>
    public string? IdToToken(int id) => Vocabulary.GetToken(id);

    /// <summary>The id of a token, or null when there is none.</summary>
    /// <param name="token">The token as the vocabulary writes it.</param>
    public int? TokenToId(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return Vocabulary.GetId(token);
    }

    /// <summary>Whether a token is a control token, which decoding leaves out on request.</summary>
    /// <param name="id">Any number.</param>
    public bool IsSpecial(int id) => Vocabulary.IsSpecial(id);

    /// <summary>Encodes a text.</summary>
    /// <param name="text">Any text; a lone surrogate counts as U+FFFD.</param>
    /// <param name="addSpecialTokens">Whether to surround the ids with the control tokens of the file's post-processor.</param>
    /// <param name="parseSpecialTokens">
    /// Whether control tokens written out in the text become their ids. Pass false for text that is not trusted: its
    /// characters are then encoded like any others.
    /// </param>
    /// <exception cref="TokenizerFormatException">The text needs the unknown token, which the vocabulary lacks.</exception>
    public int[] Encode(ReadOnlySpan<char> text, bool addSpecialTokens = true, bool parseSpecialTokens = true)
    {
        List<int> ids = new(text.Length / 3 + 4);
        Encode(text, ids, addSpecialTokens, parseSpecialTokens);
        return [.. ids];
    }

    /// <summary>Encodes a text and appends its ids to a list.</summary>
    /// <param name="text">Any text; a lone surrogate counts as U+FFFD.</param>
    /// <param name="output">Where the ids go.</param>
    /// <param name="addSpecialTokens">Whether to surround the ids with the control tokens of the file's post-processor.</param>
    /// <param name="parseSpecialTokens">Whether control tokens written out in the text become their ids.</param>
    /// <exception cref="TokenizerFormatException">The text needs the unknown token, which the vocabulary lacks.</exception>
    public void Encode(ReadOnlySpan<char> text, List<int> output, bool addSpecialTokens = true, bool parseSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(output);
        if (addSpecialTokens)
            output.AddRange(_template.Before);
        _encoder.Encode(text, parseSpecialTokens, output);
        if (addSpecialTokens)
            output.AddRange(_template.After);
    }

    /// <summary>Decodes ids to text; bytes that do not form a character become U+FFFD.</summary>
    /// <param name="ids">Token ids; an id below the vocabulary size that no token has adds nothing.</param>
    /// <param name="skipSpecialTokens">Whether control tokens are left out.</param>
    /// <exception cref="ArgumentOutOfRangeException">An id is negative or not below the vocabulary size.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true)
    {
        TokenStream stream = CreateStream(skipSpecialTokens);
        foreach (int id in ids)
            stream.Write(id);
        return stream.Flush();
    }

    /// <summary>Starts decoding one id at a time.</summary>
    /// <param name="skipSpecialTokens">Whether control tokens are left out.</param>
    public TokenStream CreateStream(bool skipSpecialTokens = true) => new(this, skipSpecialTokens);

    internal static ArgumentOutOfRangeException IdOutOfRange(int id, int vocabularySize) =>
        new(nameof(id), id, $"The token id {id} is not in the vocabulary, whose ids go from 0 to {vocabularySize - 1}.");
}
