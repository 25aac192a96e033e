using Hydragen.Text.Json;
using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text.Decoders;

/// <summary>Reads the section <c>decoder</c>.</summary>
internal static class DecoderReader
{
    private const string Supported = "Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace";

    public static Decoder Read(JsonField field)
    {
        JsonField type = field.Required("type");
        return type.AsString() switch
        {
            "Sequence" => new SequenceDecoder([.. field.Required("decoders").Items().Select(Read)]),
            "ByteLevel" => new ByteLevelDecoder(),
            "Replace" => new ReplaceDecoder(ReadPattern(field.Required("pattern")), field.RequiredString("content")),
            "ByteFallback" => new ByteFallbackDecoder(),
            "Fuse" => new FuseDecoder(),
            "Strip" => new StripDecoder(
                field.Required("content").AsRune(),
                field.Required("start").AsInt32(0, int.MaxValue),
                field.Required("stop").AsInt32(0, int.MaxValue)),
            "Metaspace" => new MetaspaceDecoder(
                field.Required("replacement").AsRune(), PreTokenizerReader.ReadPrepend(field) != MetaspacePrepend.Never),
            string other => throw type.UnsupportedType("decoder", other, Supported),
        };
    }

    private static string ReadPattern(JsonField field)
    {
        if (!field.TryGet("String", out JsonField literal))
            throw field.Error("only a fixed text ({\"String\": ...}) can be replaced when decoding");
        string text = literal.AsString();
        return text.Length > 0 ? text : throw literal.Unexpected("a text that is not empty");
    }
}
