using System.Text;

namespace Hydragen.Text;

/// <summary>The printable stand-in for each byte that byte-level vocabularies are written in (GPT-2).</summary>
/// <remarks>
/// Bytes that are printable Latin-1 characters stand for themselves; the other 68 take U+0100 onwards in byte order.
/// </remarks>
internal static class ByteLevelAlphabet
{
    private const int NumCharacters = 0x144;

    private static readonly char[] Characters = CreateCharacters();
    private static readonly short[] Bytes = CreateBytes();

    /// <summary>The stand-in of a byte.</summary>
    public static char ToCharacter(byte value) => Characters[value];

    /// <summary>The byte that a character stands for, or -1 when it stands for none.</summary>
    public static int ToByte(char character) => character < NumCharacters ? Bytes[character] : -1;

    /// <summary>Writes the stand-ins of the UTF-8 bytes of <paramref name="text"/>.</summary>
    /// <param name="text">Well-formed UTF-16.</param>
    /// <param name="destination">At least three times as long as <paramref name="text"/>.</param>
    /// <returns>Characters written.</returns>
    public static int Encode(ReadOnlySpan<char> text, Span<char> destination)
    {
        char[] characters = Characters;
        int written = 0;
        Span<byte> utf8 = stackalloc byte[4];
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c < 0x80)
            {
                destination[written++] = characters[c];
                continue;
            }

            if (Rune.DecodeFromUtf16(text[i..], out Rune rune, out int consumed) != System.Buffers.OperationStatus.Done)
                rune = Rune.ReplacementChar;
            i += consumed - 1;
            int numBytes = rune.EncodeToUtf8(utf8);
            for (int j = 0; j < numBytes; j++)
                destination[written++] = characters[utf8[j]];
        }

        return written;
    }

    private static char[] CreateCharacters()
    {
        char[] characters = new char[256];
        char next = (char)256;
        for (int value = 0; value < 256; value++)
        {
            bool isPrintable = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            characters[value] = isPrintable ? (char)value : next++;
        }

        return characters;
    }

    private static short[] CreateBytes()
    {
        short[] bytes = new short[NumCharacters];
        Array.Fill(bytes, (short)-1);
        for (int value = 0; value < 256; value++)
            bytes[Characters[value]] = (short)value;
        return bytes;
    }
}
