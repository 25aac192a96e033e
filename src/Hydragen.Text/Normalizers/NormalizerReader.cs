using Hydragen.Text.Json;
using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text.Normalizers;

/// <summary>Reads the section <c>normalizer</c>.</summary>
internal static class NormalizerReader
{
    // What all steps together may make of one character, so that a file cannot blow a prompt up to gigabytes.
    private const int MaximumGrowth = 4096;
    private const int MaximumContentLength = 256;

    private const string Supported = "Sequence, NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip, Lowercase, ByteLevel";

    public static Normalizer Read(JsonField field)
    {
        Normalizer normalizer = ReadStep(field);
        return normalizer.Growth <= MaximumGrowth
            ? normalizer
            : throw field.Error($"the steps may lengthen a text more than {MaximumGrowth} times, which is not supported");
    }

    private static Normalizer ReadStep(JsonField field)
    {
        JsonField type = field.Required("type");
        return type.AsString() switch
        {
            "Sequence" => new SequenceNormalizer([.. field.Required("normalizers").Items().Select(ReadStep)]),
            "NFC" => new UnicodeNormalizer(composes: true, isCompatible: false),
            "NFD" => new UnicodeNormalizer(composes: false, isCompatible: false),
            "NFKC" => new UnicodeNormalizer(composes: true, isCompatible: true),
            "NFKD" => new UnicodeNormalizer(composes: false, isCompatible: true),
            "Prepend" => new PrependNormalizer(ReadContent(field.Required("prepend"))),
            "Replace" => new ReplaceNormalizer(SplitPatternReader.Read(field.Required("pattern")), ReadContent(field.Required("content"))),
            "Strip" => new StripNormalizer(field.RequiredBoolean("strip_left"), field.RequiredBoolean("strip_right")),
            "Lowercase" => new LowercaseNormalizer(),
            "ByteLevel" => new ByteLevelNormalizer(),
            string other => throw type.UnsupportedType("normalizer", other, Supported),
        };
    }

    private static string ReadContent(JsonField field)
    {
        string content = field.AsString();
        return content.Length <= MaximumContentLength
            ? content
            : throw field.Error($"the text has {content.Length} characters, at most {MaximumContentLength} are supported");
    }
}
