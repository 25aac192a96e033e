using System.Text;
using System.Text.Json;

namespace Hydragen.Text.Tests;

public sealed class GoldenTests
{
    public static TheoryData<string> Names => Golden.Names();

    [Theory]
    [MemberData(nameof(Names))]
    public void Ids_equal_those_of_the_reference(string name)
    {
        Tokenizer tokenizer = Golden.Load(name);
        foreach ((string text, JsonElement golden) in Texts(name, out int before, out int after))
        {
            int[] expected = Golden.Ids(golden.GetProperty("ids"));
            AssertIds(name, text, expected, tokenizer.Encode(text));
            AssertIds(name, text, expected[before..^after], tokenizer.Encode(text, addSpecialTokens: false));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Control_tokens_taken_as_text_equal_those_of_the_reference(string name)
    {
        Tokenizer tokenizer = Golden.Load(name);
        foreach ((string text, JsonElement golden) in Texts(name, out int before, out int after))
        {
            int[] expected = golden.TryGetProperty("as_text", out JsonElement asText)
                ? Golden.Ids(asText)
                : Golden.Ids(golden.GetProperty("ids"))[before..^after];
            AssertIds(name, text, expected, tokenizer.Encode(text, addSpecialTokens: false, parseSpecialTokens: false));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Decoded_texts_equal_those_of_the_reference(string name)
    {
        Tokenizer tokenizer = Golden.Load(name);
        foreach ((string text, JsonElement golden) in Texts(name, out _, out _))
        {
            string decoded = golden.TryGetProperty("decoded", out JsonElement value) ? value.GetString()! : text;
            string decodedAll = golden.TryGetProperty("decoded_all", out value) ? value.GetString()! : decoded;
            AssertDecodes(tokenizer, Golden.Ids(golden.GetProperty("ids")), decoded, decodedAll);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Random_ids_decode_as_in_the_reference(string name)
    {
        Tokenizer tokenizer = Golden.Load(name);
        foreach (JsonElement golden in Golden.ReadJson(name, "cases.json").GetProperty("sequences").EnumerateArray())
        {
            AssertDecodes(
                tokenizer,
                Golden.Ids(golden.GetProperty("ids")),
                golden.GetProperty("decoded").GetString()!,
                golden.GetProperty("decoded_all").GetString()!);
        }
    }

    private static List<(string Text, JsonElement Golden)> Texts(string name, out int before, out int after)
    {
        JsonElement cases = Golden.ReadJson(name, "cases.json");
        before = cases.GetProperty("before").GetInt32();
        after = cases.GetProperty("after").GetInt32();
        JsonElement[] texts = [.. Golden.ReadJson("texts.json").EnumerateArray()];
        JsonElement[] goldens = [.. cases.GetProperty("texts").EnumerateArray()];
        Assert.Equal(texts.Length, goldens.Length);
        return [.. texts.Zip(goldens, (text, golden) => (text.GetString()!, golden))];
    }

    private static void AssertIds(string name, string text, int[] expected, int[] actual)
    {
        Assert.True(
            expected.AsSpan().SequenceEqual(actual),
            $"{name}: {TestFiles.Quote(text)}: expected [{string.Join(' ', expected)}], found [{string.Join(' ', actual)}]");
    }

    private static void AssertDecodes(Tokenizer tokenizer, int[] ids, string decoded, string decodedAll)
    {
        Assert.Equal(decoded, tokenizer.Decode(ids));
        Assert.Equal(decodedAll, tokenizer.Decode(ids, skipSpecialTokens: false));
        Assert.Equal(decodedAll, Stream(tokenizer, ids));
    }

    private static string Stream(Tokenizer tokenizer, int[] ids)
    {
        TokenStream stream = tokenizer.CreateStream(skipSpecialTokens: false);
        StringBuilder text = new();
        foreach (int id in ids)
            text.Append(stream.Append(id));
        return text.Append(stream.Flush()).ToString();
    }
}
