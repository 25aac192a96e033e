using System.Text;
using Hydragen.Text.Json;

namespace Hydragen.Text.PreTokenizers;

/// <summary>Reads the section <c>pre_tokenizer</c>.</summary>
internal static class PreTokenizerReader
{
    private const string Supported = "Sequence, ByteLevel, Split, Metaspace, Digits, Whitespace, WhitespaceSplit, Punctuation";

    public static PreTokenizer Read(JsonField field)
    {
        JsonField type = field.Required("type");
        return type.AsString() switch
        {
            "Sequence" => new SequencePreTokenizer([.. field.Required("pretokenizers").Items().Select(Read)]),
            "ByteLevel" => new ByteLevelPreTokenizer(field.RequiredBoolean("add_prefix_space"), field.OptionalBoolean("use_regex", true)),
            "Split" => new SplitPreTokenizer(
                SplitPatternReader.Read(field.Required("pattern")),
                ReadBehavior(field.Required("behavior")),
                field.OptionalBoolean("invert", false)),
            "Metaspace" => new MetaspacePreTokenizer(
                field.Required("replacement").AsRune(), ReadPrepend(field), field.OptionalBoolean("split", true)),
            "Digits" => ByClass(
                static rune => UnicodeClasses.IsNumber(Rune.GetUnicodeCategory(rune)),
                field.RequiredBoolean("individual_digits") ? SplitBehavior.Isolated : SplitBehavior.Contiguous),
            "Whitespace" => new SplitPreTokenizer(new WordPattern(), SplitBehavior.Removed, isInverted: true),
            "WhitespaceSplit" => ByClass(Rune.IsWhiteSpace, SplitBehavior.Removed),
            "Punctuation" => ByClass(
                Punctuation.Contains, field.TryGet("behavior", out JsonField behavior) ? ReadBehavior(behavior) : SplitBehavior.Isolated),
            string other => throw type.UnsupportedType("pre-tokenizer", other, Supported),
        };
    }

    /// <summary>The prepend scheme of a Metaspace component, in its present form or the older one with a Boolean.</summary>
    public static MetaspacePrepend ReadPrepend(JsonField field)
    {
        MetaspacePrepend? scheme = null;
        if (field.TryGet("prepend_scheme", out JsonField name))
        {
            scheme = name.AsString() switch
            {
                "always" => MetaspacePrepend.Always,
                "first" => MetaspacePrepend.First,
                "never" => MetaspacePrepend.Never,
                _ => throw name.Unexpected("\"always\", \"first\" or \"never\""),
            };
        }

        bool addsPrefixSpace = field.OptionalBoolean("add_prefix_space", true);
        if (!addsPrefixSpace && scheme is not (null or MetaspacePrepend.Never))
            throw name.Error("contradicts add_prefix_space = false");
        return addsPrefixSpace ? scheme ?? MetaspacePrepend.Always : MetaspacePrepend.Never;
    }

    private static SplitPreTokenizer ByClass(Predicate<Rune> isMember, SplitBehavior behavior) =>
        new(new CharacterClassPattern(isMember), behavior, isInverted: false);

    private static SplitBehavior ReadBehavior(JsonField field) => field.AsString() switch
    {
        "Removed" => SplitBehavior.Removed,
        "Isolated" => SplitBehavior.Isolated,
        "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
        "MergedWithNext" => SplitBehavior.MergedWithNext,
        "Contiguous" => SplitBehavior.Contiguous,
        _ => throw field.Unexpected("\"Removed\", \"Isolated\", \"MergedWithPrevious\", \"MergedWithNext\" or \"Contiguous\""),
    };
}
