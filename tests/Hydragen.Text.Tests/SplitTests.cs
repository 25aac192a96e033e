using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Hydragen.Text.Expressions;
using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text.Tests;

/// <summary>The scanners against the runtime's backtracking engine, which agrees with them below U+10000.</summary>
public sealed class SplitTests
{
    private static readonly string[] Parts =
    [
        "a", "B", "é", "É", "ǅ", "ʰ", "ª", "漢", "\u0301", "\u0903", "\u20E3", "1", "٣", "½", "Ⅷ", " ", "  ", "\t", "\n", "\r", "\r\n",
        "\u00A0", "\u2028", "\u0085", "'", "'s", "'S", "'T", "'re", "'Ve", "'M", "'lL", "'d", "’", ".", "/", "//", "-", "_", "(", "€", "+", "\u200D", "\uFE0F",
    ];

    public static TheoryData<string> Patterns =>
    [
        Gpt2Scanner.Pattern, Cl100kScanner.Llama3Pattern, Cl100kScanner.Qwen2Pattern, Cl100kScanner.Gpt4Pattern, O200kScanner.O200kPattern,
        O200kScanner.TekkenPattern,
    ];

    [Theory]
    [MemberData(nameof(Patterns))]
    public void Scanners_match_what_their_expressions_match(string pattern)
    {
        Random random = new(13);

        // The runtime writes possessive quantifiers as atomic groups.
        string atomic = pattern
            .Replace(@"[^\r\n\p{L}\p{N}]?+", @"(?>[^\r\n\p{L}\p{N}]?)", StringComparison.Ordinal)
            .Replace(@"[^\s\p{L}\p{N}]++", @"(?>[^\s\p{L}\p{N}]+)", StringComparison.Ordinal);
        Regex regex = new(atomic, RegexOptions.CultureInvariant);
        for (int round = 0; round < 5000; round++)
        {
            StringBuilder text = new();
            for (int i = random.Next(1, 14); i > 0; i--)
                text.Append(Parts[random.Next(Parts.Length)]);
            string input = text.ToString();
            Assert.Equal(regex.Matches(input).Select(m => m.Value), Split(pattern, SplitBehavior.Removed, isInverted: true, input));
        }
    }

    [Theory]
    [MemberData(nameof(Patterns))]
    public void Characters_above_the_basic_plane_are_classified_whole(string pattern)
    {
        // A letter, a digit and a symbol of the basic plane split like their relatives above it.
        string Above(string text) => text.Replace("漢", "𠀀", StringComparison.Ordinal).Replace("٣", "𝟛", StringComparison.Ordinal)
            .Replace("€", "😀", StringComparison.Ordinal).Replace("\u0301", "\U000110BA", StringComparison.Ordinal);
        Random random = new(17);
        for (int round = 0; round < 2000; round++)
        {
            StringBuilder text = new();
            for (int i = random.Next(1, 14); i > 0; i--)
                text.Append(Parts[random.Next(Parts.Length)]);
            string input = text.ToString();
            Assert.Equal(
                Split(pattern, SplitBehavior.Isolated, isInverted: false, input).Select(Above),
                Split(pattern, SplitBehavior.Isolated, isInverted: false, Above(input)));
        }
    }

    [Theory]
    [InlineData("Removed", "the|final|countdown")]
    [InlineData("Isolated", "the|-|final|-|-|countdown")]
    [InlineData("MergedWithPrevious", "the-|final-|-|countdown")]
    [InlineData("MergedWithNext", "the|-final|-|-countdown")]
    [InlineData("Contiguous", "the|-|final|--|countdown")]
    public void Behaviors_place_the_matches(string behavior, string expected)
    {
        Assert.Equal(expected, string.Join('|', Split("-", Enum.Parse<SplitBehavior>(behavior), false, "the-final--countdown")));
    }

    [Theory]
    [InlineData(@"\w+")]
    [InlineData(@"^a")]
    [InlineData(@"a$")]
    [InlineData(@"a(?=bc)")]
    [InlineData(@"(?>a)")]
    [InlineData(@"(?<!a)b")]
    [InlineData(@"(?i:é)")]
    [InlineData(@"(?i:ss)")]
    [InlineData(@"(?i:\p{Lu})")]
    [InlineData(@"(a?)*")]
    [InlineData(@"((a{1000}){1000}){1000}")]
    [InlineData(@"a++")]
    [InlineData(@"a{2}?")]
    [InlineData(@"a{3,2}")]
    [InlineData(@"a{5000}")]
    [InlineData(@"[[:alpha:]]")]
    [InlineData(@"[a&&b]")]
    [InlineData(@"[z-a]")]
    [InlineData(@"[a-\d]")]
    [InlineData(@"[]")]
    [InlineData(@"[a")]
    [InlineData(@"(a")]
    [InlineData(@"a)")]
    [InlineData(@"a\")]
    [InlineData(@"\p{Han}")]
    [InlineData(@"\p{L")]
    [InlineData(@"\1")]
    [InlineData(@"\b")]
    [InlineData(@"a*")]
    [InlineData(@"😀")]
    [InlineData(@"")]
    public void Expressions_whose_meaning_differs_between_engines_are_refused(string pattern)
    {
        Assert.Throws<FormatException>(() => new ExpressionPattern(pattern));
    }

    [Fact]
    public void Deeply_nested_and_huge_expressions_are_refused()
    {
        Assert.Throws<FormatException>(() => new ExpressionPattern(new string('(', 3000)));
        Assert.Throws<FormatException>(() => new ExpressionPattern(new string('a', 1 << 20)));
    }

    [Theory]
    [InlineData(@"\p{Lo}|[^\p{L}\p{N}]|\p{N}.", "𠀀漢😀 𝟛x", "𠀀|漢|😀| |𝟛x")]
    [InlineData(@"a|ab", "abab", "a|a")]
    [InlineData(@"ab|a", "abaab", "ab|a|ab")]
    [InlineData(@"(?:ab|a)+?b?", "ababb", "ab|abb")]
    [InlineData(@"a{2,3}", "aaaaaaa", "aaa|aaa")]
    [InlineData(@"a{2,3}?", "aaaaaaa", "aa|aa|aa")]
    [InlineData(@"a{2}", "aaaaa", "aa|aa")]
    [InlineData(@"x*y|x", "xxxyxx", "xxxy|x|x")]
    [InlineData(@"(a+)+b", "aaaaabaaaa", "aaaaab")]
    [InlineData(@"(?i:'s|'re)", "'S'ſ'Re'r", "'S|'ſ|'Re")]
    [InlineData(@"\s+(?!\S)|\s+", "a  b c ", " | | | ")]
    [InlineData(@"a(?=[bc])", "abacadа", "a|a")]
    [InlineData(@"[^\S\r\n]+|[\u4e00-龥]", " \t\n漢字 ", " \t|漢|字| ")]
    [InlineData(@"[-+]?\d+", "-12 +3-4", "-12|+3|-4")]
    public void Other_expressions_match_as_a_backtracking_engine_would(string pattern, string text, string expected)
    {
        Assert.Equal(expected, string.Join('|', Matches(pattern, text)));
    }

    [Theory]
    [MemberData(nameof(Patterns))]
    public void The_general_matcher_and_the_scanners_agree(string pattern)
    {
        if (pattern == Cl100kScanner.Gpt4Pattern)
            pattern = Cl100kScanner.Llama3Pattern;
        Random random = new(23);
        for (int round = 0; round < 2000; round++)
        {
            StringBuilder text = new();
            for (int i = random.Next(1, 20); i > 0; i--)
                text.Append(random.Next(5) > 0 ? Parts[random.Next(Parts.Length)] : new Rune(random.Next(0x10000, 0x20000)).ToString());
            string input = text.ToString();
            Assert.Equal(Matches(pattern, input), Split(pattern, SplitBehavior.Removed, isInverted: true, input));
        }
    }

    private static List<string> Matches(string expression, string text)
    {
        PieceBuffer buffer = new();
        buffer.Reset(text, isTextStart: true);
        new SplitPreTokenizer(new ExpressionPattern(expression), SplitBehavior.Removed, isInverted: true).Apply(buffer);
        return Texts(buffer);
    }

    private static List<string> Split(string pattern, SplitBehavior behavior, bool isInverted, string text)
    {
        string kind = pattern == "-" ? "String" : "Regex";
        string json = string.Create(
            CultureInfo.InvariantCulture,
            $"{{\"type\":\"Split\",\"pattern\":{{\"{kind}\":{TestFiles.Quote(pattern)}}},\"behavior\":\"{behavior}\",\"invert\":{(isInverted ? "true" : "false")}}}");
        using System.Text.Json.JsonDocument document = System.Text.Json.JsonDocument.Parse(json);
        PieceBuffer buffer = new();
        buffer.Reset(text, isTextStart: true);
        PreTokenizerReader.Read(new Json.JsonField("test", "$", document.RootElement)).Apply(buffer);
        return Texts(buffer);
    }

    private static List<string> Texts(PieceBuffer buffer)
    {
        List<string> texts = [];
        foreach (Piece piece in buffer.Pieces)
            texts.Add(buffer.TextOf(piece).ToString());
        return texts;
    }
}
