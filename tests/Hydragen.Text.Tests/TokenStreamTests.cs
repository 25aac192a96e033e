using System.Text;

namespace Hydragen.Text.Tests;

public sealed class TokenStreamTests
{
    private const string Text = "aé漢😀\u0301 👨‍👩‍👧‍👦 z";

    [Fact]
    public void No_half_character_is_ever_emitted()
    {
        Tokenizer tokenizer = TestFiles.Parse(TestFiles.ByteLevelJson([]));
        TokenStream stream = tokenizer.CreateStream();
        StringBuilder joined = new();
        foreach (byte value in Encoding.UTF8.GetBytes(Text))
        {
            string part = stream.Append(value);
            Assert.DoesNotContain('\uFFFD', part);
            Assert.Equal(part, new UTF8Encoding(false, true).GetString(Encoding.UTF8.GetBytes(part)));
            joined.Append(part);
        }

        Assert.Equal("", stream.Flush());
        Assert.Equal(Text, joined.ToString());
    }

    [Fact]
    public void A_character_appears_with_its_last_byte_and_not_before()
    {
        TokenStream stream = TestFiles.Parse(TestFiles.ByteLevelJson([])).CreateStream();

        Assert.Equal("", stream.Append(0xF0));
        Assert.Equal("", stream.Append(0x9F));
        Assert.Equal("", stream.Append(0x98));
        Assert.Equal("😀", stream.Append(0x80));
    }

    [Fact]
    public void Flush_gives_an_unfinished_character_as_one_replacement_and_starts_over()
    {
        TokenStream stream = TestFiles.Parse(TestFiles.ByteLevelJson([])).CreateStream();

        Assert.Equal("", stream.Append(0xE6));
        Assert.Equal("", stream.Append(0xBC));
        Assert.Equal("\uFFFD", stream.Flush());
        Assert.Equal("", stream.Flush());
        Assert.Equal("x", stream.Append('x'));
    }

    [Fact]
    public void A_byte_fallback_run_waits_for_its_end_and_an_invalid_one_is_a_replacement_a_byte()
    {
        Tokenizer tokenizer = Golden.Load("llama2");
        int Id(string token) => tokenizer.TokenToId(token)!.Value;
        TokenStream stream = tokenizer.CreateStream();

        Assert.Equal("", stream.Append(Id("<0xF0>")) + stream.Append(Id("<0x9F>")) + stream.Append(Id("<0x98>")) + stream.Append(Id("<0x80>")));
        Assert.Equal("😀a", stream.Append(Id("a")));
        Assert.Equal("", stream.Append(Id("<0xF0>")) + stream.Append(Id("<0x9F>")));
        Assert.Equal("\uFFFD\uFFFD", stream.Flush());
    }

    [Fact]
    public void The_leading_space_that_encoding_added_goes_only_at_the_very_start()
    {
        Tokenizer tokenizer = Golden.Load("llama2");
        int[] ids = tokenizer.Encode("the the", addSpecialTokens: false);
        TokenStream stream = tokenizer.CreateStream();

        Assert.Equal("the the", string.Concat(ids.Select(stream.Append)) + stream.Flush());
        Assert.Equal("the the", string.Concat(ids.Select(stream.Append)) + stream.Flush());
    }

    [Theory]
    [MemberData(nameof(Golden.Names), MemberType = typeof(Golden))]
    public void Streaming_random_ids_equals_decoding_them_at_once(string name)
    {
        Tokenizer tokenizer = Golden.Load(name);
        Random random = new(7);
        for (int round = 0; round < 200; round++)
        {
            int[] ids = new int[random.Next(0, 40)];
            for (int i = 0; i < ids.Length; i++)
                ids[i] = random.Next(tokenizer.VocabularySize);
            TokenStream stream = tokenizer.CreateStream(skipSpecialTokens: round % 2 == 0);
            Assert.Equal(tokenizer.Decode(ids, skipSpecialTokens: round % 2 == 0), string.Concat(ids.Select(stream.Append)) + stream.Flush());
        }
    }
}
