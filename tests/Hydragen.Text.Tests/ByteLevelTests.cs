using System.Text;

namespace Hydragen.Text.Tests;

public sealed class ByteLevelTests
{
    private static readonly Tokenizer Bytes = TestFiles.Parse(TestFiles.ByteLevelJson([]));

    [Theory]
    [InlineData("")]
    [InlineData("plain words, 123 and\tsome \r\n  lines ")]
    [InlineData("Ünïcödé 漢字 𝒳 🏳️‍🌈 é")]
    public void Without_merges_the_ids_are_the_bytes_of_the_text(string text)
    {
        int[] ids = Bytes.Encode(text);

        Assert.Equal(Encoding.UTF8.GetBytes(text).Select(b => (int)b), ids);
        Assert.Equal(text, Bytes.Decode(ids));
    }

    [Fact]
    public void Merges_happen_in_order_of_rank_and_from_left_to_right()
    {
        Tokenizer tokenizer = TestFiles.Parse(TestFiles.ByteLevelJson(["b c", "a b", "a a", "aa aa"]));

        Assert.Equal([97, 256], tokenizer.Encode("abc"));
        Assert.Equal([259, 97], tokenizer.Encode("aaaaa"));
        Assert.Equal([258, 256], tokenizer.Encode("aabc"));
    }

    [Fact]
    public void Lone_surrogates_become_the_replacement_character()
    {
        Assert.Equal(Bytes.Encode("a\uFFFDb\uFFFD\uFFFD"), Bytes.Encode("a\uD800b\uDC00\uD83D"));
    }

    [Fact]
    public void An_id_outside_the_vocabulary_is_named_with_the_vocabulary_size()
    {
        ArgumentOutOfRangeException tooLarge = Assert.Throws<ArgumentOutOfRangeException>(() => Bytes.Decode([1, 256]));
        Assert.Contains("256", tooLarge.Message, StringComparison.Ordinal);
        Assert.Contains("255", tooLarge.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => Bytes.CreateStream().Append(-1));
    }
}
