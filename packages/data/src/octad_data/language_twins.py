"""Languages that share most of their words, told apart by the words that they do not share.

A model of letters cannot hear the difference between "svako ima pravo" (Bosnian) and "svatko ima pravo" (Croatian).
Grammars and school books list such words; so do the tables here, a language a column. `hiljad*` is every word with
that beginning, `a/b` is either, `.` is none.
"""

import re
from dataclasses import dataclass
from functools import cache

INDONESIAN_AND_MALAY = """
id                      ms
karena                  kerana
bahwa/bahwasanya        bahawa/bahawasanya
adalah/yaitu/yakni      ialah/iaitu/adalah
dari                    daripada/dari
untuk                   bagi/untuk
harus                   hendaklah
bisa                    .
jika/kalau              sekiranya/jika/kalau
ketika                  apabila/semasa/sewaktu/ketika
sedangkan               manakala
saja                    sahaja/jua
suatu/sesuatu           sebarang/sesebuah/suatu/sesuatu
siapapun/apapun         sesiapa
maupun                  mahupun
mau/ingin               mahu
menurut                 mengikut/menurut
tentang/mengenai        mengenai/tentang
berbagai                pelbagai
beda*/berbeda*          beza*/berbeza*
perbedaan/pembedaan     perbezaan/pembezaan
dibedakan/membedakan    dibezakan/membezakan
coba/mencoba/dicoba     cuba/mencuba/dicuba
kawin/perkawinan        kahwin/perkahwinan/berkahwin
nikah/menikah           nikah/bernikah
pria/laki               lelaki
nggak/gak/banget        .
internasional           antarabangsa
pengadilan              mahkamah
.                       kumpulan
pengakuan               pengiktirafan
perbatasan              sempadan
pribadi                 peribadi
layanan/pelayanan       perkhidmatan/khidmat
perusahaan              syarikat
pemerintah              kerajaan
departemen              .
kantor                  pejabat
uang                    wang
mobil                   kereta
kereta                  keretapi/kereta
sepeda                  basikal
rumah                   hospital/rumah
dokter                  doktor
perawat                 jururawat
polisi                  polis/polisi
sekretaris              setiausaha
kesehatan/sehat         kesihatan/sihat
kualitas                kualiti
aktivitas               aktiviti
identitas               identiti
komunitas               komuniti
universitas             universiti
fasilitas               fasiliti/kemudahan
prioritas               prioriti/keutamaan
mayoritas               majoriti
konstitusi              perlembagaan
deklarasi/pernyataan    perisytiharan/deklarasi
kebutuhan/butuh*        keperluan
membutuhkan             memerlukan
tergantung              bergantung/tergantung
gratis                  percuma
kamar                   bilik
toko                    kedai
kota                    bandar
koran                   akhbar
rapat                   mesyuarat
informasi               maklumat
telepon                 telefon
daftar                  senarai/daftar
tanggal                 tarikh
listrik                 elektrik
silakan/silahkan        .
pengaturan/setelan      tetapan
berkas                  fail
perangkat               perisian/peranti
peramban                pelayar
tautan                  pautan
situs                   .
surel                   emel
sandi                   laluan
unduh*/mengunduh        muat
kapan                   .
minggu                  ahad/minggu
senin                   isnin
kamis                   khamis
jumat                   jumaat
maret                   mac
juli                    julai
agustus                 ogos
desember                disember
resmi                   rasmi
rencana                 rancangan/rencana
.                       matlamat
.                       ianya
penyiksaan              penyeksaan/seksaan
.                       ugama
umum                    am/umum/sejagat
kejahatan               jenayah
pajak                   cukai
pekerja/karyawan        pekerja/kakitangan
keuntungan              faedah
siswa                   penuntut
bagian                  bahagian
nomor                   nombor
kode                    kod
istri                   isteri
bapak                   bapa
delapan                 lapan
nol                     sifar
pikir*/berpikir/pemikir* fikir*/berfikir/pemikir*
paham                   faham
kabar                   khabar
obat*/pengobatan        ubat*/perubatan
hewan                   haiwan
sapi                    lembu
danau                   tasik
stasiun                 stesen
eropa                   eropah
inggris                 inggeris
prancis                 perancis
spanyol                 sepanyol
italia                  itali
jepang                  jepun
serikat                 .
musik                   muzik
film                    filem
tentara                 tentera
partai                  parti
klub                    kelab
kasus                   kes
proyek                  projek
standar                 standard
ekspor/impor            eksport/import
paspor                  pasport
televisi                televisyen
akun                    akaun
bus                     bas
taksi                   teksi
asuransi                insurans
pensiun                 pencen
bisnis                  .
investasi               pelaburan
persen                  peratus
miliar                  bilion
triliun                 trilion
kampanye                kempen
administrasi            pentadbiran
organisasi              pertubuhan/organisasi
gubernur                gabenor
kabupaten/kecamatan     .
pemilu                  pilihanraya
oposisi                 pembangkang
.                       pengerusi
.                       belanjawan
.                       rasuah
nasional                .
teroris                 pengganas
kecelakaan              kemalangan
kanker                  kanser
pelatih                 jurulatih
sutradara               .
sepatu                  kasut
celana                  seluar
besok                   esok
kemarin                 .
.                       kanak
kelamin                 jantina
perbudakan/diperbudak   perhambaan/diperhamba
istirahat/beristirahat  rehat/berehat
berbicara               bercakap
mengirim*/dikirim*      menghantar*/dihantar*
berhasil/keberhasilan   berjaya
setelah                 selepas/setelah
lainnya                 .
metode                  kaedah
periode                 tempoh
teknis                  teknikal
praktis                 praktikal
kritis                  kritikal
otomatis                automatik
otoritas                autoriti
kapasitas               kapasiti
minoritas               minoriti
realitas                realiti
entitas                 entiti
juni                    jun
kristen                 kristian
"""

BOSNIAN_CROATIAN_AND_SERBIAN = """
bs                          hr                         sr
ko/neko/iko                 tko/netko/itko             ko/neko/iko
svako/svakome               svatko/svakomu             svako/svakome
niko/nikome                 nitko/nikomu               niko/nikome
šta                         što                        šta
tokom                       tijekom                    tokom
ponovo                      ponovno                    ponovo
sretan                      sretan                     srećan
lično/ličn*                 osobno/osobn*              lično/ličn*
hiljad*                     tisuć*                     hiljad*
histori*                    povijes*                   istori*
tačk*/tačno/netačno         točk*/točno/netočno        tačk*/tačno/netačno
učestv*/učešć*              sudjel*                    učestv*/učešć*
uslov*                      uvjet*                     uslov*
obavez*                     obvez*                     obavez*
evrop*                      europ*                     evrop*
krivičn*                    kazn*                      krivičn*
porodic*                    obitelj*                   porodic*
hljeb*                      kruh*                      hleb*
saglasn*                    suglasn*                   saglasn*
finansij*                   financij*                  finansij*
sistem*                     sustav*                    sistem*
općin*                      općin*                     opštin*
opć*                        opć*                       opšt*
uopće                       uopće                      uopšte
univerzitet*                sveučiliš*                 univerzitet*
hemij*                      kemij*                     hemij*
hirurg*                     kirurg*                    hirurg*
kahv*                       kav*                       kaf*
sedmic*/sedmič*             tjed*                      nedelj*/sedmic*
voz/voza/vozom/vozovi       vlak*                      voz/voza/vozom/vozovi
računar*                    računal*                   računar*
muzik*/muzič*               glazb*                     muzik*/muzič*
pozorišt*                   kazališ*                   pozorišt*
avion*                      zrakoplov*                 avion*
pasoš*                      putovnic*                  pasoš*
fabrik*                     tvornic*                   fabrik*
stepen*                     stupanj/stupnj*            stepen*
saobraćaj*                  promet*                    saobraćaj*
izvještaj*                  izvješć*                   izveštaj*
budžet*                     proračun*                  budžet*
fudbal*                     nogomet*                   fudbal*
nauk*/nauč*                 znanost*/znanstv*          nauk*/nauč*
preduzeć*/kompanij*         tvrtk*/poduzeć*            preduzeć*/kompanij*
sekretar*                   tajnik*                     sekretar*
direktor*                   ravnatelj*/direktor*       direktor*
hapš*/uhapš*                uhit*/uhić*                hapš*/uhapš*
aktueln*                    aktualn*                   aktueln*
januar*                     siječ*                     januar*
februar*                    veljač*                    februar*
mart/marta                  ožuj*                      mart/marta
april*                      trav*                      april*
maj/maja                    svib*                      maj/maja
juni/juna                   lipanj/lipnj*              jun/juna
juli/jula                   srp*                       jul/jula
august*                     kolovoz*                   avgust*
septembar/septembr*         rujan/rujn*                septembar/septembr*
oktobar/oktobr*             listopad*                  oktobar/oktobr*
novembar/novembr*           studen*                    novembar/novembr*
decembar/decembr*           prosinac/prosinc*          decembar/decembr*
server*                     poslužitelj*               server*
fajl*/datotek*              datotek*                   datotek*/fajl*
lozink*                     zapork*/lozink*            lozink*
bezbjedn*/sigurn*           sigurn*                    bezbedn*
izuzet*/izuze*              iznim*                     izuzet*/izuze*
spisak/spisk*               popis*                     spisak/spisk*
podstic*/podstak*           potic*/potak*              podstic*/podstak*
doprin*                     pridon*/doprin*            doprin*
unapređ*                    unapređ*/promic*           unapređ*
organizov*/organizir*       organizir*                 organizov*
takođe/također              također                    takođe
ovdje                       ovdje                      ovde
gdje/negdje/nigdje          gdje/negdje/nigdje         gde/negde/nigde
uvijek                      uvijek                     uvek
prije                       prije                      pre
poslije                     poslije                    posle
vrijem*/vremen*             vrijem*/vremen*            vreme*
mjest*/mjesn*               mjest*/mjesn*              mest*/mesn*
svijet*/svjets*             svijet*/svjets*            svet/sveta/svetu/svets*
dijete/djec*/djete*         dijete/djec*/djete*        dete/deca/dece/deci/decu/detet*
čovjek*/čovječ*             čovjek*/čovječ*            čovek*/čoveč*
riječ*/rječ*                riječ*/rječ*               reč*
cijel*                      cijel*                     cel/cela/celo/celi/celu
dio/dijel*/dijelo*          dio/dijel*/dijelo*         deo/delov*/dela
promjen*/izmjen*/zamjen*    promjen*/izmjen*/zamjen*   promen*/izmen*/zamen*
zahtjev*                    zahtjev*                   zahtev*
slijed*/sljede*             slijed*/sljede*            sled*
posljedn*/posljedic*        posljedn*/posljedic*       poslednj*/posledic*
razumije*/razumje*          razumije*/razumje*         razume*
primjer*/primjen*           primjer*/primjen*          primer*/primen*
uspjeh*/uspješ*             uspjeh*/uspješ*            uspeh*/uspeš*
ocjen*/procjen*             ocjen*/procjen*            ocen*/procen*
cijen*/cjen*                cijen*/cjen*               cen*
vrijedn*/vrijedi*           vrijedn*/vrijedi*          vredn*/vredi*
"""

WRITTEN_AS = {"sr": "bs"}  # py3langid knows Serbian in Cyrillic letters alone; in Latin ones its spelling is Bosnian's
TABLES = (INDONESIAN_AND_MALAY, BOSNIAN_CROATIAN_AND_SERBIAN)
KEY = 3  # letters at least of a stem
WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Twins:
    """A table, read.

    Attributes:
        names: of the languages.
        words: whole words, and the columns of the languages that write them.
        stems: by their first three letters, beginnings of words and the same, the longest first.
    """

    names: tuple[str, ...]
    words: dict[str, tuple[int, ...]]
    stems: dict[str, list[tuple[str, tuple[int, ...]]]]

    def counts(self, text: str) -> list[int]:
        """How many words of a text are each language's, of those that are not every language's."""
        found = [0] * len(self.names)
        for word in WORD.findall(text.lower()):
            columns = self.words.get(word)
            if columns is None:
                stems = self.stems.get(word[:KEY], ())
                columns = next((held for stem, held in stems if word.startswith(stem)), ())
            for column in columns:
                found[column] += 1
        return found


@cache
def twins_of(name: str) -> Twins | None:
    """The table in which a language is, if it has one."""
    return next((twins for table in TABLES if name in (twins := _read(table)).names), None)


@cache
def _read(table: str) -> Twins:
    names, *rows = (tuple(line.split()) for line in table.strip().splitlines())
    columns: dict[str, set[int]] = {}
    for row in rows:
        for column, cell in enumerate(row):
            for entry in cell.split("/"):
                columns.setdefault(entry, set()).add(column)
    telling = {entry: tuple(sorted(held)) for entry, held in columns.items() if len(held) < len(names)}
    stems: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for entry in sorted(telling, key=len, reverse=True):
        if entry.endswith("*"):
            stems.setdefault(entry[:KEY], []).append((entry[:-1], telling[entry]))
    return Twins(names, {entry: held for entry, held in telling.items() if not entry.endswith("*")}, stems)
